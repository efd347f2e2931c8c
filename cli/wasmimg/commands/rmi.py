"""`wasmimg rmi`: forget images and free their blobs."""

from __future__ import annotations

import os
import sys

import click

from wasmimg_compose.record import Records
from wasmimg_images.digest import Digest
from wasmimg_images.errors import InvalidInput
from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.lookup import find
from wasmimg_images.snapshot import Snapshots, chains_of
from wasmimg_images.spec import Descriptor


@click.command("rmi", short_help="Remove images from the local store.")
@click.argument("images", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Remove all names of an image given by id.")
def command(images: tuple[str, ...], force: bool) -> None:
    """Remove IMAGES, names or ids, and what no other image needs.

    What containers were made of is kept until they are removed.
    """
    home = Home.from_environ(os.environ)
    store = Store(home.store)
    for text in images:
        found = find(store, text)
        names = (found.asked,) if found.asked else found.names
        if len(names) > 1 and not force:
            listed = ", ".join(name.familiar() for name in names)
            raise InvalidInput(f"{text} has several names: {listed}", hint="use --force")
        for name in names:
            store.untag(name)
            print(f"Untagged: {name.familiar()}")
    used = [
        Descriptor(record.image.media_type, Digest.parse(record.image.digest), record.image.size)
        for record in Records.of(home).all()
    ]
    collected = store.gc(used)
    if collected.deferred:
        print("wasmimg: another command is writing; the next rmi frees the space", file=sys.stderr)
        return
    print(f"Deleted: {collected.blobs} blobs, {collected.size} bytes")
    kept = [image for image in used if store.has(image.digest)]
    kept += [descriptor for _, descriptor in store.images()]
    Snapshots(home.snapshots).prune(chains_of(store, kept))
