"""`wasmimg pull`: bring an image from its registry into the local store."""

from __future__ import annotations

import contextlib
import json
import os

import click


@click.command()
@click.argument("reference", metavar="REF")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH",
    multiple=True,
    help="Fetch the image for this platform; may be repeated. Default: all that can run here, Wasm and "
    "this machine's Linux.",
)
@click.option("--all-platforms", is_flag=True, help="Fetch the images for every platform.")
@click.option(
    "--plain-http/--tls",
    default=None,
    help="Call the registry without TLS, or with it. Default: TLS, save on this machine's addresses "
    "and those in WASMIMG_INSECURE_REGISTRIES.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was pulled as a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    reference: str,
    platforms: tuple[str, ...],
    all_platforms: bool,
    plain_http: bool | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Bring the image REF from its registry into the local store.

    Prints the image by digest. Of an image for several platforms only the wanted ones are fetched; the
    name keeps standing for the whole, with the registry's digest. To push it elsewhere,
    pull it with --all-platforms.
    """
    from wasmimg.transfer import TransferLines
    from wasmimg_images.home import Home
    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.registry.client import Client
    from wasmimg_images.spec import Platform

    if platforms and all_platforms:
        raise click.UsageError("--platform and --all-platforms exclude each other")
    home = Home.from_environ(os.environ)
    name = Reference.parse(reference)
    with (
        Client.from_environ(os.environ, plain_http=plain_http, cache=home.cache) as client,
        contextlib.closing(TransferLines("pulled", quiet=quiet)) as lines,
    ):
        found = client.pull(
            Store(home.store),
            name,
            [Platform.parse(text) for text in platforms] or None,
            lines,
            everything=all_platforms,
        )
    by_digest = f"{name.familiar_name}@{found.digest}"
    if not as_json:
        click.echo(by_digest)
        return
    document = {
        "reference": by_digest,
        "digest": str(found.digest),
        "mediaType": found.media_type,
        "size": found.size,
    }
    click.echo(json.dumps(document))
