"""`wasmimg save`: images as one file, for other tools or other machines."""

from __future__ import annotations

import os

import click

from wasmimg.export import whole_file
from wasmimg_images.archive import docker, oci
from wasmimg_images.home import Home
from wasmimg_images.image import select
from wasmimg_images.layout import Store
from wasmimg_images.lookup import find
from wasmimg_images.spec import Platform


@click.command("save", short_help="Write images to an archive.")
@click.argument("images", nargs=-1, required=True)
@click.option("-o", "--output", default="-", help="The file; default: standard output.")
@click.option("--format", "kind", type=click.Choice(["oci", "docker"]), default="oci")
@click.option("--platform", help="Which platform, for Docker's format: it holds one.")
def command(images: tuple[str, ...], output: str, kind: str, platform: str | None) -> None:
    """Write IMAGES, names or ids, to one archive: an OCI layout, or what `docker save` writes."""
    store = Store(Home.from_environ(os.environ).store)
    found = [find(store, text) for text in images]
    named = [(f.descriptor, (f.asked,) if f.asked else f.names) for f in found]
    wanted = [Platform.parse(platform)] if platform else None
    with store.lease(), whole_file(output) as sink:
        if kind == "oci":
            oci.write_archive(store, named, sink)
        else:
            chosen = [(select(store, each, wanted), names) for each, names in named]
            docker.write(store, chosen, sink)
