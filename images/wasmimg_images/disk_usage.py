"""What an image is made of here, and how much room that takes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.image import load
from wasmimg_images.spec import MANIFESTS
from wasmimg_images.tree import closure

if TYPE_CHECKING:
    from wasmimg_images.layout import Store
    from wasmimg_images.spec import Descriptor, Platform


class Summary(NamedTuple):
    """An image in short: bytes of its blobs that are here, platforms, Unix time of making."""

    size: int
    platforms: tuple[Platform, ...]
    created: float | None


def summarize(store: Store, descriptor: Descriptor) -> Summary:
    """Add up an image; a part that is missing or no container image counts as far as it can."""
    blobs = closure(store, [descriptor])
    size = sum(blob.size for blob in blobs if store.has(blob.digest))
    platforms: list[Platform] = []
    created: float | None = None
    for blob in blobs:
        if blob.media_type not in MANIFESTS:
            continue
        try:
            config = load(store, blob).config
        except (InvalidInput, NotFound):
            continue
        platforms.append(blob.platform or config.platform)
        if created is None and config.created:
            created = parse_time(config.created)
    return Summary(size, tuple(dict.fromkeys(platforms)), created)


def parse_time(text: str) -> float | None:
    """Read an RFC 3339 time as Unix time; nothing if it is none."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
