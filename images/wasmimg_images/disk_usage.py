"""What an image is made of here, and how much room that takes."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_images.image import load, offered
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
    here: dict[Platform, Descriptor] = {}
    with contextlib.suppress(InvalidInput):
        for platform, manifest in offered(store, descriptor):
            if store.has(manifest.digest) and platform.os != "unknown":
                here.setdefault(platform, manifest)
    created: float | None = None
    for manifest in here.values():
        with contextlib.suppress(InvalidInput):
            created = parse_time(load(store, manifest).config.created or "")
            break
    return Summary(size, tuple(here), created)


def parse_time(text: str) -> float | None:
    """Read an RFC 3339 time as Unix time; nothing if it is none."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
