"""`wasmimg rmi`: forget images and free their blobs."""

from __future__ import annotations

import os
import sys

import click

from wasmimg_images.errors import InvalidInput
from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.lookup import find


@click.command("rmi", short_help="Remove images from the local store.")
@click.argument("images", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Remove all names of an image given by id.")
def command(images: tuple[str, ...], force: bool) -> None:
    """Remove IMAGES, names or ids, and what no other image needs.

    Containers keep running: their files are unpacked elsewhere.
    """
    store = Store(Home.from_environ(os.environ).store)
    for text in images:
        found = find(store, text)
        names = (found.asked,) if found.asked else found.names
        if len(names) > 1 and not force:
            listed = ", ".join(name.familiar() for name in names)
            raise InvalidInput(f"{text} has several names: {listed}", hint="use --force")
        for name in names:
            store.untag(name)
            print(f"Untagged: {name.familiar()}")
    collected = store.gc()
    if collected.deferred:
        print("wasmimg: space is freed when the running transfer ends", file=sys.stderr)
    else:
        print(f"Deleted: {collected.blobs} blobs, {collected.size} bytes")
