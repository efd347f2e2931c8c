"""`wasmimg import`: a root filesystem becomes a Linux image."""

from __future__ import annotations

import os
from pathlib import Path

import click

from wasmimg_images.document import Node
from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.rootfs import Origin, import_rootfs


@click.command("import", short_help="Make a Linux image of a root filesystem.")
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-t", "--tag", required=True, help="Name the image.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="JSON with the config's run fields."
)
def command(source: Path, tag: str, config: Path | None) -> None:
    """Make a one-layer Linux image of SOURCE: a folder, a tar file, or - for standard input.

    The config file holds what an image config's `config` object does: Entrypoint, Cmd, Env, Volumes
    and so on. The image's reference by digest is printed.
    """
    reference = Reference.parse(tag)
    fields = Node.parse(config.read_bytes(), str(config)).fields() if config else {}
    store = Store(Home.from_environ(os.environ).store)
    origin = Origin(fields)
    if str(source) == "-":
        with open(0, "rb", closefd=False) as stream:
            descriptor = import_rootfs(store, stream, origin)
    elif source.is_dir():
        descriptor = import_rootfs(store, source, origin)
    else:
        with source.open("rb") as archive:
            descriptor = import_rootfs(store, archive, origin)
    store.tag(reference, descriptor)
    click.echo(reference.with_digest(descriptor.digest).familiar())
