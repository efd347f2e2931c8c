"""`wasmimg registry-serve`: a registry on a directory."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="registry-serve")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=5000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--read-only", is_flag=True, help="Take no pushes.")
@click.option("--allow-delete", is_flag=True, help="Let clients delete manifests, tags and blobs.")
@click.option(
    "--htpasswd",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Serve only the users of this file: bcrypt (`htpasswd -B`), SHA-crypt (`openssl passwd -6`) "
    "or {SHA}.",
)
def command(
    directory: Path,
    host: str,
    port: int,
    read_only: bool,
    allow_delete: bool,
    htpasswd: Path | None,
) -> None:
    """Serve the registry in DIR, which is made if it is not there, until SIGTERM or Ctrl-C.

    It speaks OCI distribution-spec 1.1, without TLS: put a proxy before it to serve other machines.
    """
    from wasmimg_images.registry.server.listener import Options, serve

    serve(
        directory,
        host,
        port,
        Options(read_only, allow_delete, htpasswd),
        ready=lambda url: click.echo(f"Serving {directory} on {url}", err=True),
    )
