"""Pushing what a store holds: blobs, then manifests, children before parents, tags last.

A reader of the registry never sees a name whose content is not all there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import DigestMismatch, NotFound
from wasmimg_images.registry.authorization import Scope
from wasmimg_images.registry.blob_upload import CHUNK_SIZE, BlobUpload
from wasmimg_images.registry.message import Request
from wasmimg_images.registry.parallel import each
from wasmimg_images.registry.progress import Progress
from wasmimg_images.spec import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from wasmimg_images.tree import children, is_document, reachable

if TYPE_CHECKING:
    from wasmimg_images.digest import Digest
    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.registry.blob_upload import Resumptions
    from wasmimg_images.registry.progress import Watch
    from wasmimg_images.registry.session import Session
    from wasmimg_images.spec import Descriptor

ACCEPT: Final = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_INDEX}, {DOCKER_MANIFEST}"
_OK, _CREATED, _ACCEPTED, _NOT_FOUND = 200, 201, 202, 404


class Pushed(NamedTuple):
    """What a push did; sizes in bytes."""

    descriptor: Descriptor
    unchanged: bool
    uploaded: int = 0
    mounted: int = 0
    existing: int = 0


class Plan(NamedTuple):
    """What makes up an image, in the order it has to go."""

    blobs: tuple[Descriptor, ...]
    documents: tuple[Descriptor, ...]
    absent: tuple[Descriptor, ...]

    def describe(self) -> list[str]:
        """Say it, one line an operation."""
        return [
            *(f"check that the registry has {found.digest}" for found in self.absent),
            *(f"upload blob {found.digest} ({found.size} bytes)" for found in self.blobs),
            *(f"put manifest {found.digest}" for found in self.documents),
        ]


def plan(store: Store, root: Descriptor) -> Plan:
    """Walk an image, children first; `absent` are manifests of an image that was pulled in part."""
    blobs: dict[Digest, Descriptor] = {}
    documents: dict[Digest, Descriptor] = {}
    absent: dict[Digest, Descriptor] = {}

    def visit(descriptor: Descriptor) -> None:
        if descriptor.digest in documents:
            return
        for child in children(descriptor, store.read(descriptor)):
            if not is_document(child):
                if not child.urls:  # what others distribute is not ours to push
                    blobs[child.digest] = child
            elif store.has(child.digest):
                visit(child)
            else:
                absent[child.digest] = child
        documents[descriptor.digest] = descriptor

    visit(root)
    return Plan(tuple(blobs.values()), tuple(documents.values()), tuple(absent.values()))


class Push:
    """One push of one image to one repository."""

    def __init__(
        self,
        session: Session,
        store: Store,
        reference: Reference,
        resumptions: Resumptions,
        *,
        chunk: int = CHUNK_SIZE,
    ) -> None:
        self._session = session
        self._store = store
        self._reference = reference
        self._resumptions = resumptions
        self._chunk = chunk
        self._scopes = (Scope(reference.repository, ("pull", "push")),)
        self._repository = f"/v2/{reference.repository}"
        self._what = f"push of {reference.familiar()}"
        self._origins: dict[Digest, str] = {}

    def run(self, root: Descriptor, watch: Watch) -> Pushed:
        """Do what is left to do; raises RegistryError, NotFound, DigestMismatch."""
        tag = self._reference.tag
        if tag and self._digest_at(tag) == str(root.digest):
            return Pushed(root, unchanged=True)
        counts = {"done": 0, "mounted": 0, "exists": 0}
        if self._digest_at(str(root.digest)) is None:
            todo = plan(self._store, root)
            self._require(todo.absent)
            self._origins = _origins(self._store, self._reference) if todo.blobs else {}
            for found in each(self._blob, todo.blobs, watch):
                counts[found.state] += found.descriptor.size
            self._put_all(todo.documents, watch)
        elif not tag:
            return Pushed(root, unchanged=True)
        if tag:
            self._put(root, tag)
        return Pushed(root, False, counts["done"], counts["mounted"], counts["exists"])

    def _digest_at(self, name: str) -> str | None:
        """Ask what a tag or digest stands for, nothing if the registry does not have it."""
        request = Request("HEAD", f"{self._repository}/manifests/{name}", {"accept": ACCEPT})
        response = self._session.exchange(
            self._what, request, self._scopes, expect={_OK, _NOT_FOUND}
        )
        response.close()
        if response.status == _NOT_FOUND:
            return None
        return response.headers.get("docker-content-digest", "")

    def _require(self, absent: tuple[Descriptor, ...]) -> None:
        for descriptor in absent:
            if self._digest_at(str(descriptor.digest)) is None:
                raise NotFound(
                    f"{self._what}: the image for {descriptor.platform or descriptor.digest} "
                    "is neither here nor there",
                    hint="pull the image with --all-platforms first",
                )

    def _blob(self, descriptor: Descriptor, watch: Watch) -> Progress:
        url = f"{self._repository}/blobs/{descriptor.digest}"
        response = self._session.exchange(
            self._what, Request("HEAD", url), self._scopes, expect={_OK, _NOT_FOUND}
        )
        response.close()
        if response.status == _OK:
            found = Progress(descriptor, "exists", descriptor.size)
        else:
            upload = BlobUpload(
                self._session,
                self._reference.repository,
                self._scopes,
                descriptor,
                self._resumptions,
            )
            mounted = upload.run(
                self._store.path(descriptor.digest),
                watch,
                chunk=self._chunk,
                mount_from=self._origins.get(descriptor.digest),
            )
            found = Progress(descriptor, "mounted" if mounted else "done", descriptor.size)
        watch(found)
        return found

    def _put_all(self, documents: tuple[Descriptor, ...], watch: Watch) -> None:
        """Put by digest; manifests side by side, then what refers to them, in order."""

        def put(descriptor: Descriptor, watch: Watch) -> None:
            self._put(descriptor, str(descriptor.digest))
            watch(Progress(descriptor, "done", descriptor.size))

        leaves = [d for d in documents if d.media_type in {OCI_MANIFEST, DOCKER_MANIFEST}]
        each(put, leaves, watch)
        for descriptor in documents:
            if descriptor not in leaves:
                put(descriptor, watch)

    def _put(self, descriptor: Descriptor, name: str) -> None:
        body = self._store.read(descriptor)
        request = Request(
            "PUT",
            f"{self._repository}/manifests/{name}",
            {"content-type": descriptor.media_type},
            body,
            len(body),
        )
        response = self._session.exchange(
            self._what, request, self._scopes, expect={_OK, _CREATED, _ACCEPTED}
        )
        response.close()
        said = response.headers.get("docker-content-digest")
        if said is not None and said != str(descriptor.digest):
            raise DigestMismatch(
                f"{self._what}: the registry stored {said[:80]!r}, not {descriptor.digest}"
            )


def _origins(store: Store, reference: Reference) -> dict[Digest, str]:
    """Guess which repositories of the same registry have which blobs; a wrong guess costs nothing."""

    def read(descriptor: Descriptor) -> bytes | None:
        return store.read(descriptor) if store.has(descriptor.digest) else None

    found: dict[Digest, str] = {}
    for name, descriptor in store.images():
        if name.registry == reference.registry and name.repository != reference.repository:
            for digest in reachable([descriptor], read):
                found.setdefault(digest, name.repository)
    return found
