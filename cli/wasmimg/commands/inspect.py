"""`wasmimg inspect`: everything about an image, as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import cast

import click

from wasmimg_images.home import Home
from wasmimg_images.image import select
from wasmimg_images.layout import Store
from wasmimg_images.lookup import find
from wasmimg_images.spec import INDEXES, Platform
from wasmimg_images.validate import validate


@click.command("inspect", short_help="Show an image's documents.")
@click.argument("images", nargs=-1, required=True)
@click.option("--platform", help="Which image of an index; default: what would run here.")
@click.option("--raw", is_flag=True, help="Print the stored document of the first image as it is.")
@click.option("--check", is_flag=True, help="Verify every blob and rule; list all problems.")
def command(images: tuple[str, ...], platform: str | None, raw: bool, check: bool) -> int:
    """Show IMAGES, names or ids: index, manifest and config of the image that would run here."""
    store = Store(Home.from_environ(os.environ).store)
    if raw:
        found = store.read(find(store, images[0]).descriptor)
        sys.stdout.buffer.write(found)
        return 0
    wanted = [Platform.parse(platform)] if platform else None
    documents: list[dict[str, object]] = []
    status = 0
    for text in images:
        found_image = find(store, text)
        descriptor = found_image.descriptor
        image = select(store, descriptor, wanted)
        document: dict[str, object] = {
            "digest": str(descriptor.digest),
            "mediaType": descriptor.media_type,
            "names": [name.familiar() for name in found_image.names],
            "platform": str(image.config.platform),
            "manifest": cast("object", json.loads(image.manifest.raw)),
            "config": cast("object", json.loads(image.config.raw)),
        }
        if descriptor.media_type in INDEXES:
            document["index"] = cast("object", json.loads(store.read(descriptor)))
        if check:
            problems = validate(store, descriptor)
            document["problems"] = [str(problem) for problem in problems]
            status = status or (6 if problems else 0)
        documents.append(document)
    print(json.dumps(documents, indent=2, ensure_ascii=False))
    return status
