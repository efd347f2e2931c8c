"""`wasmimg import`: a root filesystem as an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from wasmimg_images.document import Node
from wasmimg_images.errors import NotFound
from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.rootfs import Origin, import_rootfs

if TYPE_CHECKING:
    from wasmimg_images.layer_writer import Compression


@click.command("import", short_help="Make an image of a root filesystem.")
@click.argument("source")
@click.argument("name")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON file with the config's fields: Entrypoint, Cmd, Env, ExposedPorts, …",
)
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip", "gzip-fast", "none"]),
    default="zstd",
    show_default=True,
    help="Docker before 23 reads no zstd.",
)
def command(source: str, name: str, config: Path | None, compression: str) -> None:
    """Make the image NAME of SOURCE: a folder, a tar file, or - for a tar on standard input.

    Device nodes and sockets are left out. The image's reference by digest is printed.
    """
    store = Store(Home.from_environ(os.environ).store)
    reference = Reference.parse(name)
    run = Node.parse(config.read_bytes(), str(config)).fields() if config else {}
    origin = Origin(run)
    kind = cast("Compression", compression)
    with store.lease():
        if source == "-":
            with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
                descriptor = import_rootfs(store, stream, origin, compression=kind)
        elif os.path.isdir(source):
            descriptor = import_rootfs(store, Path(source), origin, compression=kind)
        elif os.path.exists(source):
            with open(source, "rb") as stream:
                descriptor = import_rootfs(store, stream, origin, compression=kind)
        else:
            raise NotFound(f"{source} does not exist")
        store.tag(reference, descriptor)
    print(reference.with_digest(descriptor.digest).familiar())
