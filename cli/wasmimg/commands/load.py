"""`wasmimg load`: images out of an archive, or a folder, into the local store."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from wasmimg_images.archive import load, oci
from wasmimg_images.errors import InvalidInput
from wasmimg_images.home import Home
from wasmimg_images.layout import Store


@click.command("load", short_help="Read images from an archive.")
@click.option(
    "-i",
    "--input",
    "path",
    default="-",
    help="The archive, or the folder of an OCI layout; default: standard input.",
)
def command(path: str) -> None:
    """Read images from an OCI or a Docker archive, compressed or not, and keep their names."""
    store = Store(Home.from_environ(os.environ).store)
    if path == "-" and sys.stdin.isatty():
        raise InvalidInput("an archive is not typed in", hint="redirect one, or use -i FILE")
    before = dict(store.images())
    if path == "-":
        with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
            found = load.load(stream, store)
    elif Path(path).is_dir():
        found = oci.load_folder(Path(path), store)
    else:
        with open(path, "rb") as file:
            found = load.load(file, store)
    for descriptor, reference in found:
        name = reference.familiar() if reference else descriptor.digest
        print(f"Loaded image: {name}")
        old = before.get(reference) if reference else None
        if old is not None and old.digest != descriptor.digest:
            text = f"{name} is another image now; it was {old.digest.short}"
            print(f"wasmimg: {text}", file=sys.stderr)
