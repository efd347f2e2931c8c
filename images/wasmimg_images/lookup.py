"""Finding what a user means in the store: a name, a digest, or the start of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.reference import Reference

if TYPE_CHECKING:
    from wasmimg_images.layout import Store
    from wasmimg_images.spec import Descriptor

_ID: Final = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")


class Found(NamedTuple):
    """An image, and all the names that stand for it; `asked` is the one it was found by, if any."""

    descriptor: Descriptor
    names: tuple[Reference, ...]
    asked: Reference | None = None


def find(store: Store, text: str) -> Found:
    """Find an image by name first, then by id; raises NotFound, or InvalidInput for several."""
    images = store.images()
    error: NotFound | InvalidInput
    try:
        reference = Reference.parse(text)
        descriptor = store.resolve(reference)
        names = tuple(name for name, other in images if other.digest == descriptor.digest)
        return Found(descriptor, names, reference if reference in names else None)
    except (NotFound, InvalidInput) as caught:
        error = caught
    match = _ID.fullmatch(text)
    if match is None:
        raise error
    found = {
        descriptor.digest: descriptor.plain()
        for _, descriptor in images
        if descriptor.digest.hex.startswith(match[1])
    }
    if not found:
        raise NotFound(f"no image {text} here", hint="`wasmimg images` lists them")
    if len(found) > 1:
        raise InvalidInput(f"{text} is the start of {len(found)} image ids", hint="give more of it")
    descriptor = next(iter(found.values()))
    names = tuple(name for name, other in images if other.digest == descriptor.digest)
    return Found(descriptor, names)
