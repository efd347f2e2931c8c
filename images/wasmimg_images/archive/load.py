"""Reading images from an archive, in one pass: a pipe will do, and nothing is unpacked beside."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from wasmimg_images.archive import docker, oci
from wasmimg_images.compression import decompress
from wasmimg_images.digest import CHUNK, Digest
from wasmimg_images.errors import DigestMismatch, InvalidInput
from wasmimg_images.spec import Descriptor
from wasmimg_images.tarstream import entries
from wasmimg_images.tree import closure

if TYPE_CHECKING:
    import io

    from wasmimg_images.digest import Readable
    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference

_UNKNOWN: Final = "application/octet-stream"
_BLOBS: Final = "blobs/"
_INDEX: Final = "index.json"


def load(stream: io.BufferedReader, store: Store) -> list[tuple[Descriptor, Reference | None]]:
    """Add an archive's images to the store and name them; tells OCI's from Docker's by content.

    Every file becomes a blob under the digest that it has, so an archive can't forge one; what
    belongs to no image is collected later. Raises InvalidInput and DigestMismatch.
    """
    with store.lease():
        files = _ingest(stream, store)
        if _INDEX in files:
            found = oci.named_entries(store.read(files[_INDEX]), _INDEX)
            for blob in closure(store, [descriptor for descriptor, _ in found]):
                if not store.has(blob.digest):
                    raise InvalidInput(f"the archive lacks blob {blob.digest}")
        elif docker.MANIFEST in files:
            found = docker.images(store.read(files[docker.MANIFEST]), files, store)
        else:
            raise InvalidInput("this archive has no index.json and no manifest.json: no images")
        for descriptor, reference in found:
            if reference is not None:
                store.tag(reference, descriptor)
    return found


def _ingest(stream: io.BufferedReader, store: Store) -> dict[str, Descriptor]:
    files: dict[str, Descriptor] = {}
    for entry, content in entries(decompress(stream)):
        name = posixpath.normpath(entry.name).lstrip("/")
        if content is not None:
            files[name] = _blob(name, content, entry.size, store)
        elif entry.issym() or entry.islnk():
            # Old Docker versions write a layer twice as a link to the first.
            base = posixpath.dirname(name) if entry.issym() else ""
            target = files.get(posixpath.normpath(posixpath.join(base, entry.linkname)))
            if target is not None:
                files[name] = target
    while stream.read(CHUNK):
        pass
    return files


def _blob(name: str, content: Readable, size: int, store: Store) -> Descriptor:
    if not name.startswith(_BLOBS):
        return store.ingest(content, None, _UNKNOWN)
    algorithm, _, digits = name.removeprefix(_BLOBS).partition("/")
    try:
        digest = Digest.parse(f"{algorithm}:{digits}")
        return store.ingest(content, Descriptor(_UNKNOWN, digest, size), _UNKNOWN)
    except DigestMismatch as error:
        raise DigestMismatch(f"archive entry {name}: {error.message}") from error
