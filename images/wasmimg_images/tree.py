"""Walking from an index or a manifest down to the blobs that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from wasmimg_images.errors import InvalidInput
from wasmimg_images.spec import INDEXES, MANIFESTS, Descriptor, Index, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wasmimg_images.digest import Digest

#: Indexes in indexes are allowed; no tool makes more than two levels.
MAX_DEPTH: Final = 4


class Blobs(Protocol):
    """Where documents are read from: the store."""

    def has(self, digest: Digest) -> bool:
        """Whether it is here."""
        ...

    def read(self, descriptor: Descriptor) -> bytes:
        """Read it, verified."""
        ...


def children(descriptor: Descriptor, raw: bytes) -> tuple[Descriptor, ...]:
    """List what a document refers to, in the order it does; nothing for other blobs."""
    if descriptor.media_type in INDEXES:
        return Index.parse(raw).manifests
    if descriptor.media_type in MANIFESTS:
        manifest = Manifest.parse(raw)
        return (manifest.config, *manifest.layers)
    return ()


def is_document(descriptor: Descriptor) -> bool:
    """Whether the blob may refer to others."""
    return descriptor.media_type in INDEXES or descriptor.media_type in MANIFESTS


def reachable(
    roots: Iterable[Descriptor],
    read: Callable[[Descriptor], bytes | None],
) -> set[Digest]:
    """Collect the digests below `roots`; `read` gives nothing for a document that is not here.

    An image may be here in part: other platforms' manifests are often not pulled.
    """
    found: set[Digest] = set()
    waiting = list(roots)
    while waiting:
        descriptor = waiting.pop()
        if descriptor.digest in found:
            continue
        found.add(descriptor.digest)
        if is_document(descriptor):
            raw = read(descriptor)
            if raw is not None:
                waiting.extend(children(descriptor, raw))
    return found


def closure(blobs: Blobs, roots: Iterable[Descriptor]) -> list[Descriptor]:
    """List the blobs of images, each once, referring ones after what they refer to.

    Children of indexes that are not here are left out: other platforms were not pulled. Any other
    missing blob raises NotFound when it is opened.
    """
    found: dict[Digest, Descriptor] = {}

    def visit(descriptor: Descriptor, depth: int) -> None:
        if descriptor.digest in found:
            return
        if is_document(descriptor):
            if depth > MAX_DEPTH:
                raise InvalidInput(f"{descriptor.digest.short}: nested too deep")
            raw = blobs.read(descriptor)
            optional = descriptor.media_type in INDEXES
            for child in children(descriptor, raw):
                if not optional or blobs.has(child.digest):
                    visit(child, depth + 1)
        found.setdefault(descriptor.digest, descriptor)

    for root in roots:
        visit(root, 0)
    return list(found.values())
