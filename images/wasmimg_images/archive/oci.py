"""OCI layouts outside the store: `oci:DIR` and `oci-archive:FILE` (image-spec, image-layout.md)."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final

from wasmimg_images.archive.tarball import TarWriter
from wasmimg_images.document import Node, encode
from wasmimg_images.errors import InvalidInput
from wasmimg_images.reference import Reference
from wasmimg_images.spec import ANNOTATION_REF_NAME, OCI_INDEX, Descriptor
from wasmimg_images.tree import closure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wasmimg_images.archive.tarball import Sink
    from wasmimg_images.layout import Store

LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
#: containerd's name for the whole reference; ref.name alone is a tag to some readers.
ANNOTATION_IMAGE_NAME: Final = "io.containerd.image.name"

Named = tuple[Descriptor, "Sequence[Reference]"]


def _index(images: Sequence[Named]) -> bytes:
    """Name each image by its tag, as containerd does, or in full where two have the same tag."""
    tags = Counter(reference.tag for _, references in images for reference in references)
    entries: list[dict[str, object]] = []
    for descriptor, references in images:
        if not references:
            entries.append(descriptor.document())
        for reference in references:
            named = descriptor.annotated(
                {
                    ANNOTATION_IMAGE_NAME: str(reference),
                    ANNOTATION_REF_NAME: reference.tag
                    if reference.tag and tags[reference.tag] == 1
                    else str(reference),
                },
            )
            entries.append(named.document())
    return encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})


def write_archive(store: Store, images: Sequence[Named], sink: Sink) -> None:
    """Write images as one tar of an OCI layout; the same images give the same bytes."""
    with TarWriter(sink) as tar:
        tar.folder("blobs")
        tar.folder("blobs/sha256")
        for blob in closure(store, [descriptor for descriptor, _ in images]):
            with store.open(blob) as content:
                tar.file(f"blobs/{blob.digest.algorithm}/{blob.digest.hex}", content, blob.size)
        for name, data in (("index.json", _index(images)), ("oci-layout", LAYOUT)):
            tar.file(name, io.BytesIO(data), len(data))


def write_folder(store: Store, images: Sequence[Named], target: Path) -> None:
    """Write images as an OCI layout in a new or empty folder, which appears whole."""
    unnamed = target.name in {"", ".."}
    if unnamed or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InvalidInput(f"{target} is no empty folder, and no name for one", hint="name another")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        (partial / "blobs").mkdir(parents=True)
        for blob in closure(store, [descriptor for descriptor, _ in images]):
            folder = partial / "blobs" / blob.digest.algorithm
            folder.mkdir(exist_ok=True)
            with store.open(blob) as content, (folder / blob.digest.hex).open("xb") as copy:
                shutil.copyfileobj(content, copy)
        (partial / "oci-layout").write_bytes(LAYOUT)
        (partial / "index.json").write_bytes(_index(images))
        os.replace(partial, target)  # rename(2) takes the place of an empty folder
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def named_entries(index: bytes, where: str) -> list[tuple[Descriptor, Reference | None]]:
    """Read a layout's index.json: what it holds and, if it says so fully, under which names."""
    node = Node.parse(index, where)
    found: list[tuple[Descriptor, Reference | None]] = []
    for item in node.need("manifests").items():
        descriptor = Descriptor.from_node(item)
        notes = descriptor.annotations
        name = notes.get(ANNOTATION_IMAGE_NAME) or notes.get(ANNOTATION_REF_NAME)
        # A bare tag ("latest") in ref.name names no image; a path or a tagged name does.
        whole = name is not None and (ANNOTATION_IMAGE_NAME in notes or "/" in name or ":" in name)
        reference = Reference.parse(name) if name is not None and whole else None
        found.append((descriptor.plain(), reference))
    return found


def load_folder(source: Path, store: Store) -> list[tuple[Descriptor, Reference | None]]:
    """Copy a layout's images into the store, verified, and name them as it does."""
    index = source / "index.json"
    try:
        found = named_entries(index.read_bytes(), str(index))
    except FileNotFoundError:
        raise InvalidInput(f"{source} is no OCI layout: it has no index.json") from None
    other = type(store)(source)
    with store.lease():
        for blob in closure(other, [descriptor for descriptor, _ in found]):
            with other.open(blob) as content:
                store.ingest(content, blob, blob.media_type)
        for descriptor, reference in found:
            if reference is not None:
                store.tag(reference, descriptor)
    return found
