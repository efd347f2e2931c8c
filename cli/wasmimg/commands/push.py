"""`wasmimg push`: send a local image to its registry."""

from __future__ import annotations

import contextlib
import json
import os

import click


@click.command()
@click.argument("reference", metavar="REF")
@click.option(
    "--plain-http/--tls",
    default=None,
    help="Call the registry without TLS, or with it. Default: TLS, save on this machine's addresses "
    "and those in WASMIMG_INSECURE_REGISTRIES.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(reference: str, plain_http: bool | None, as_json: bool, quiet: bool) -> None:
    """Send the local image REF to its registry.

    Prints the image by digest. What the registry has already is not sent again.
    """
    from wasmimg.transfer import TransferLines
    from wasmimg_images.home import Home
    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.registry.client import Client

    home = Home.from_environ(os.environ)
    store, name = Store(home.store), Reference.parse(reference)
    descriptor = store.resolve(name)
    with (
        Client.from_environ(os.environ, plain_http=plain_http, cache=home.cache) as client,
        contextlib.closing(TransferLines("pushed", quiet=quiet)) as lines,
    ):
        pushed = client.push(store, name, descriptor, lines)
    by_digest = f"{name.familiar_name}@{pushed.descriptor.digest}"
    if not as_json:
        click.echo(by_digest)
        return
    document = {
        "reference": by_digest,
        "digest": str(pushed.descriptor.digest),
        "mediaType": pushed.descriptor.media_type,
        "size": pushed.descriptor.size,
        "unchanged": pushed.unchanged,
        "uploadedBytes": pushed.uploaded,
        "mountedBytes": pushed.mounted,
        "existingBytes": pushed.existing,
    }
    click.echo(json.dumps(document))
