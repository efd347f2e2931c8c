"""The local store: an OCI image layout that many processes may use at once.

Blobs appear whole or not at all (written beside, synced, renamed). `index.json` changes under a lock
and by rename. Who writes blobs holds a lease until they are tagged, so the collector never takes
what another process is about to refer to.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.blob_writer import BlobWriter
from wasmimg_images.digest import CHUNK, Digest, VerifiedReader
from wasmimg_images.document import Node, encode
from wasmimg_images.errors import DigestMismatch, InvalidInput, NotFound
from wasmimg_images.lease import Lease
from wasmimg_images.reference import Reference
from wasmimg_images.spec import ANNOTATION_REF_NAME, OCI_INDEX, Descriptor
from wasmimg_images.tree import reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from wasmimg_images.digest import Readable

_MAX_READ: Final = 16 << 20
_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'


class Collected(NamedTuple):
    """What a collection freed; nothing if it was `deferred` because another process is writing."""

    blobs: int
    size: int
    deferred: bool = False


class Store:
    """An OCI image layout on disk (image-spec, image-layout.md)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lease = Lease(root / ".lease")
        self._made = False

    # -- blobs

    def path(self, digest: Digest) -> Path:
        """Say where a blob is, whether it is there or not."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here; if it is, it stays until the next tag or close."""
        if not self.root.is_dir():
            return False
        self._lease.hold()
        return self.path(digest).is_file()

    def write(self, data: bytes, media_type: str) -> Descriptor:
        """Add bytes that are in memory."""
        found = Descriptor.of(data, media_type)
        return self.ingest(io.BytesIO(data), found, media_type)

    def ingest(
        self,
        stream: Readable,
        expected: Descriptor | None,
        media_type: str,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> Descriptor:
        """Add a stream; with `expected` its digest and size are verified before the blob appears.

        `progress` is told the bytes so far. Raises DigestMismatch, or HostError if the disk is full.
        """
        self._lease.hold()
        if expected is not None and self.path(expected.digest).is_file():
            return expected
        source = stream
        if expected is not None:
            source = VerifiedReader(stream, expected.digest, expected.size)
        with self.writer(verified=expected is not None) as blob:
            while data := source.read(CHUNK):
                blob.write(data)
                if progress is not None:
                    progress(blob.size)
            return blob.commit(media_type, expected.digest if expected else None)

    def writer(self, *, verified: bool = False) -> BlobWriter:
        """Start a blob whose content is made bit by bit; it appears with `commit`."""
        self._lease.hold()
        self._make()
        return BlobWriter(self.root / "ingest", self.path, verified=verified)

    def open(self, descriptor: Descriptor) -> io.BufferedReader:
        """Open a blob; reading to the end verifies it. Raises NotFound and, late, DigestMismatch."""
        try:
            source = self.path(descriptor.digest).open("rb")
        except FileNotFoundError:
            raise NotFound(
                f"blob {descriptor.digest} is not in {self.root}",
                hint="pull the image again",
            ) from None
        reader = VerifiedReader(source, descriptor.digest, descriptor.size, owns=True)
        return io.BufferedReader(reader, CHUNK)

    def read(self, descriptor: Descriptor) -> bytes:
        """Read a document, verified; larger blobs than 16 MiB are streamed with `open`."""
        if descriptor.size > _MAX_READ:
            raise InvalidInput(f"{descriptor.digest}: {descriptor.size} bytes are no document")
        with self.open(descriptor) as stream:
            return stream.read()

    # -- names

    def images(self) -> list[tuple[Reference, Descriptor]]:
        """List names and what they stand for, sorted by name.

        Other tools may add to a layout: what has no name, or one that is no reference, is left out.
        """
        found: list[tuple[Reference, Descriptor]] = []
        for descriptor in self._entries():
            with contextlib.suppress(InvalidInput):
                found.append((Reference.parse(_name(descriptor) or ""), descriptor))
        return sorted(found, key=lambda pair: str(pair[0]))

    def resolve(self, reference: Reference) -> Descriptor:
        """Find what a name stands for; a digest must be one that its repository has here."""
        for name, descriptor in self.images():
            same = name.name == reference.name
            if reference.digest is None:
                if same and name.tag == reference.tag and name.digest is None:
                    return _unnamed(descriptor)
            elif same and reference.digest in {descriptor.digest, name.digest}:
                return _unnamed(descriptor)
        raise NotFound(f"no image {reference.familiar()} here", hint="`wasmimg images` lists them")

    def tag(self, reference: Reference, descriptor: Descriptor) -> None:
        """Name an image, taking the name from any other; the blob must be here."""
        self._lease.hold()
        if not self.path(descriptor.digest).is_file():
            raise NotFound(f"{reference.familiar()}: blob {descriptor.digest} is not here")
        if reference.digest is not None and reference.digest != descriptor.digest:
            raise DigestMismatch(f"{reference.familiar()} can't stand for {descriptor.digest}")
        self._make()
        named = descriptor.annotated({ANNOTATION_REF_NAME: str(reference)})
        with self._locked():
            others = [d for d in self._entries() if _name(d) != str(reference)]
            self._replace_entries([*others, named])
        self.close()

    def untag(self, reference: Reference) -> Descriptor:
        """Forget a name, and give what it stood for; raises NotFound."""
        with self._locked():
            entries = self._entries()
            mine = [d for d in entries if _name(d) == str(reference)]
            if not mine:
                raise NotFound(
                    f"no image {reference.familiar()} here",
                    hint="`wasmimg images` lists them",
                )
            self._replace_entries([d for d in entries if _name(d) != str(reference)])
        return _unnamed(mine[0])

    # -- leases and collection

    def lease(self) -> contextlib.AbstractContextManager[None]:
        """Keep all blobs of the store until the block ends."""
        return self._lease.block()

    def close(self) -> None:
        """Let go of what was written but not tagged, unless a `lease` block is open."""
        self._lease.let_go()

    def gc(self, also: Iterable[Descriptor] = ()) -> Collected:
        """Delete blobs that neither a name nor one of `also` leads to; not while another writes."""
        self.close()
        if not self.root.is_dir():
            return Collected(0, 0)
        with self._lease.alone() as alone:
            if not alone:
                return Collected(0, 0, deferred=True)
            with self._locked():
                keep = reachable([*self._entries(), *also], self._read_if_here)
            return self._sweep(keep)

    def _sweep(self, keep: set[Digest]) -> Collected:
        blobs, size = 0, 0
        for folder in (self.root / "blobs").glob("*"):
            for blob in folder.iterdir():
                if Digest(folder.name, blob.name) in keep:
                    continue
                size += blob.stat().st_size
                blobs += 1
                blob.unlink()
        for partial in (self.root / "ingest").glob("*"):
            partial.unlink()
        return Collected(blobs, size)

    def _read_if_here(self, descriptor: Descriptor) -> bytes | None:
        return self.read(descriptor) if self.path(descriptor.digest).is_file() else None

    # -- the layout's own files

    def _make(self) -> None:
        if self._made:
            return
        for folder in ("blobs/sha256", "ingest"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        if not (self.root / "oci-layout").exists():
            _put(self.root / "oci-layout", _LAYOUT)
        with self._locked():
            if not (self.root / "index.json").exists():
                self._replace_entries([])
        self._made = True

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _entries(self) -> list[Descriptor]:
        try:
            raw = (self.root / "index.json").read_bytes()
        except FileNotFoundError:
            return []
        node = Node.parse(raw, str(self.root / "index.json"))
        return [Descriptor.from_node(item) for item in node.need("manifests").items()]

    def _replace_entries(self, entries: list[Descriptor]) -> None:
        ordered = sorted(entries, key=lambda d: (_name(d) or "", str(d.digest)))
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [d.document() for d in ordered],
        }
        _put(self.root / "index.json", encode(document))


def _name(descriptor: Descriptor) -> str | None:
    return descriptor.annotations.get(ANNOTATION_REF_NAME)


def _unnamed(descriptor: Descriptor) -> Descriptor:
    """Leave out the layout's own annotation, which says nothing about the content."""
    return descriptor.plain()


def _put(target: Path, data: bytes) -> None:
    """Write a small file so that readers see the old one or the new one."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
