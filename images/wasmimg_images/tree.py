"""Walking from an index or a manifest down to the blobs that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_images.spec import INDEXES, MANIFESTS, Descriptor, Index, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wasmimg_images.digest import Digest


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
