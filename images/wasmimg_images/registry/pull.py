"""Pulling into a store: the document a name stands for, then what is wanted below it.

Everything is verified on its way in: documents before they are parsed, blobs before they appear. An index
pulled in part keeps its own bytes and digest; only the manifests for the wanted platforms follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_images.digest import Digest, hasher
from wasmimg_images.errors import DigestMismatch, InvalidInput, NotFound, RegistryError
from wasmimg_images.registry.authorization import Scope
from wasmimg_images.registry.download import Download
from wasmimg_images.registry.message import Request
from wasmimg_images.registry.parallel import each
from wasmimg_images.registry.progress import Progress
from wasmimg_images.registry.push import ACCEPT
from wasmimg_images.spec import INDEXES, MANIFESTS, MAX_DOCUMENT, Descriptor, Index, Manifest
from wasmimg_images.tree import children, is_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.registry.progress import Watch
    from wasmimg_images.registry.session import Session
    from wasmimg_images.spec import Platform

_MAX_DEPTH = 4
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"


class Pull:
    """One pull of one image from one repository."""

    def __init__(self, session: Session, store: Store, reference: Reference) -> None:
        self._session = session
        self._store = store
        self._reference = reference
        self._scopes = (Scope(reference.repository, ("pull",)),)
        self._what = f"pull of {reference.familiar()}"

    def run(self, platforms: Sequence[Platform] | None, watch: Watch) -> Descriptor:
        """Fetch for the given platforms, or all (None), and name the result.

        Raises NotFound, RegistryError, DigestMismatch.
        """
        root, raw = self.resolve()
        self._store.write(raw, root.media_type)
        blobs: dict[Digest, Descriptor] = {}
        self._documents(root, raw, platforms, blobs, 0)
        each(self._blob, tuple(blobs.values()), watch)
        self._store.tag(self._reference, root)
        return root

    def resolve(self) -> tuple[Descriptor, bytes]:
        """Fetch the document that the reference stands for, verified against its digest."""
        name = str(self._reference.digest or self._reference.tag)
        return self._fetch(name, self._reference.digest)

    def _fetch(self, name: str, digest: Digest | None) -> tuple[Descriptor, bytes]:
        url = f"/v2/{self._reference.repository}/manifests/{name}"
        request = Request("GET", url, {"accept": ACCEPT})
        response, raw = self._session.document(self._what, request, self._scopes, MAX_DOCUMENT)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type.startswith(_SCHEMA_1):
            raise InvalidInput(
                f"{self._what}: the image has Docker's schema 1, which no tool of today writes",
                hint="push it again with a newer tool",
            )
        if media_type not in INDEXES | MANIFESTS:
            raise RegistryError(f"{self._what}: {self._session.host} sends {media_type[:80]!r}")
        said = response.headers.get("docker-content-digest")
        digest = digest or (Digest.parse(said) if said else Digest.of(raw))
        _verify(raw, digest, self._what)
        return Descriptor(media_type, digest, len(raw)), raw

    def _documents(
        self,
        descriptor: Descriptor,
        raw: bytes,
        platforms: Sequence[Platform] | None,
        blobs: dict[Digest, Descriptor],
        depth: int,
    ) -> None:
        """Fetch the wanted documents below one, and collect their blobs."""
        if depth > _MAX_DEPTH:
            raise InvalidInput(f"{self._what}: indexes are nested too deep")
        if descriptor.media_type in MANIFESTS:
            Manifest.parse(raw)
            blobs.update((b.digest, b) for b in children(descriptor, raw))
            return
        index = Index.parse(raw)
        wanted = index.manifests if platforms is None else _wanted(index, platforms)
        if not wanted and not depth:
            raise self._nothing(index)
        for child in wanted:
            if not is_document(child):
                blobs[child.digest] = child
            elif child.digest not in blobs:
                self._documents(child, self._child(child), platforms, blobs, depth + 1)

    def _child(self, child: Descriptor) -> bytes:
        if self._store.has(child.digest):
            return self._store.read(child)
        if child.size > MAX_DOCUMENT:
            raise InvalidInput(f"{self._what}: manifest {child.digest.short} is too large")
        found, raw = self._fetch(str(child.digest), child.digest)
        if found.size != child.size:
            raise DigestMismatch(
                f"{self._what}: manifest {child.digest} has {found.size} bytes, not {child.size}"
            )
        self._store.write(raw, child.media_type)
        return raw

    def _blob(self, descriptor: Descriptor, watch: Watch) -> None:
        if self._store.has(descriptor.digest):
            watch(Progress(descriptor, "exists", descriptor.size))
            return
        download = Download(self._session, self._reference.repository, self._scopes, descriptor)
        try:
            self._store.ingest(
                download,
                descriptor,
                descriptor.media_type,
                progress=lambda done: watch(Progress(descriptor, "running", done)),
            )
        finally:
            download.close()
        watch(Progress(descriptor, "done", descriptor.size))

    def _nothing(self, index: Index) -> NotFound:
        names = dict.fromkeys(str(d.platform) for d in index.manifests if d.platform)
        return NotFound(
            f"{self._what}: nothing for the platforms asked for",
            hint=f"it has: {', '.join(names) or 'no platforms'}; --platform or --all-platforms",
        )


def _wanted(index: Index, platforms: Sequence[Platform]) -> list[Descriptor]:
    """Take the entries for the platforms, and nested indexes, which may hold more."""
    return [
        child
        for child in index.manifests
        if (child.media_type in INDEXES and child.platform is None)
        or any(child.platform and _suits(child.platform, wanted) for wanted in platforms)
    ]


def _suits(found: Platform, wanted: Platform) -> bool:
    same = (found.os, found.architecture) == (wanted.os, wanted.architecture)
    return same and (not found.variant or not wanted.variant or found.variant == wanted.variant)


def _verify(raw: bytes, digest: Digest, what: str) -> None:
    state = hasher(digest.algorithm)
    state.update(raw)
    if state.hexdigest() != digest.hex:
        raise DigestMismatch(
            f"{what}: the document has digest {digest.algorithm}:{state.hexdigest()}, not {digest}"
        )
