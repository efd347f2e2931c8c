"""Manifests, tags and referrers (distribution-spec 1.1: "Pulling manifests" to "Listing Referrers")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from wasmimg_images.digest import Digest, hasher
from wasmimg_images.document import Node, encode
from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.registry.server.blobs import parse_digest
from wasmimg_images.registry.server.reply import Problem, Reply, json_reply
from wasmimg_images.spec import INDEXES, MANIFESTS, OCI_INDEX, Descriptor, Index, Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_images.registry.server.reply import Incoming
    from wasmimg_images.registry.server.storage import Storage

#: distribution-spec, "Pushing Manifests": registries take at least 4 MiB.
MAX_MANIFEST: Final = 4 << 20
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DEFAULT_PAGE: Final = 1000


class Manifests:
    """The endpoints of manifests, tags and referrers."""

    def __init__(self, storage: Storage, *, deletes: bool) -> None:
        self._storage = storage
        self._deletes = deletes

    def manifest(self, request: Incoming) -> Reply:
        """GET, HEAD, PUT and DELETE by tag or digest."""
        if request.method == "PUT":
            return self._put(request)
        repository, name = request.route.repository, request.route.item
        try:
            if request.method == "DELETE":
                return self._delete(repository, name)
            digest = parse_digest(name) if ":" in name else self._tagged(repository, name)
            media_type, raw = self._storage.manifest(repository, digest)
        except NotFound as error:
            raise Problem("MANIFEST_UNKNOWN", error.message) from None
        headers = {"content-type": media_type, "docker-content-digest": str(digest)}
        return Reply(200, {**headers, "etag": f'"{digest}"'}, raw)

    def tags(self, request: Incoming) -> Reply:
        """GET, page by page."""
        repository = request.route.repository
        try:
            names = self._storage.tags(repository)
        except NotFound as error:
            raise Problem("NAME_UNKNOWN", error.message) from None
        page, link = _page(names, request.query, f"/v2/{repository}/tags/list")
        return json_reply({"name": repository, "tags": page}, headers=link)

    def catalog(self, request: Incoming) -> Reply:
        """GET, page by page (distribution's extension)."""
        page, link = _page(self._storage.repositories(), request.query, "/v2/_catalog")
        return json_reply({"repositories": page}, headers=link)

    def referrers(self, request: Incoming) -> Reply:
        """GET: an index of the manifests that refer to a digest, none if there are none."""
        repository = request.route.repository
        subject = parse_digest(request.route.item)
        found = {d.digest: d for d in self._tagged_referrers(repository, subject)}
        for digest in self._storage.referrers(repository, subject):
            try:
                media_type, raw = self._storage.manifest(repository, digest)
            except NotFound:
                continue
            found[digest] = _referrer(digest, media_type, raw)
        kept = list(found.values())
        headers = {"content-type": OCI_INDEX}
        if wanted := request.query.get("artifactType"):
            kept = [d for d in kept if d.artifact_type == wanted]
            headers["oci-filters-applied"] = "artifactType"
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [d.document() for d in kept],
        }
        return Reply(200, headers, encode(document))

    def _put(self, request: Incoming) -> Reply:
        repository, name = request.route.repository, request.route.item
        raw = _read(request)
        digest = _name_digest(name, raw)
        declared = request.headers.get("content-type", "").partition(";")[0].strip()
        with self._storage.changes:  # nothing it refers to may go between check and write
            try:
                media_type = _media_type(raw, declared)
                subject = self._check(repository, media_type, raw)
            except InvalidInput as error:
                raise Problem("MANIFEST_INVALID", error.message) from None
            self._storage.put_manifest(repository, digest, media_type, raw, subject)
            if ":" not in name:
                self._storage.tag(repository, name, digest)
        headers = {
            "location": f"/v2/{repository}/manifests/{digest}",
            "docker-content-digest": str(digest),
        }
        if subject is not None:
            headers["oci-subject"] = str(subject)
        return Reply(201, headers)

    def _check(self, repository: str, media_type: str, raw: bytes) -> Digest | None:
        """Make sure that what the manifest refers to is here, and give its subject."""
        if media_type in MANIFESTS:
            manifest = Manifest.parse(raw)
            for blob in (manifest.config, *manifest.layers):
                if not blob.urls and not self._storage.has_blob(repository, blob.digest):
                    raise Problem("MANIFEST_BLOB_UNKNOWN", f"blob {blob.digest} is not here")
            return manifest.subject.digest if manifest.subject else None
        index = Index.parse(raw)
        for child in index.manifests:
            try:
                self._storage.manifest(repository, child.digest)
            except NotFound:
                if not self._storage.has_blob(repository, child.digest):
                    message = f"manifest {child.digest} is not here"
                    raise Problem("MANIFEST_BLOB_UNKNOWN", message) from None
        return index.subject.digest if index.subject else None

    def _delete(self, repository: str, name: str) -> Reply:
        if not self._deletes:
            raise Problem("UNSUPPORTED", "deleting is switched off")
        with self._storage.changes:
            if ":" not in name:
                self._storage.untag(repository, _checked_tag(name))
                return Reply(202)
            digest = parse_digest(name)
            _, raw = self._storage.manifest(repository, digest)
            subject = Node.parse(raw, "manifest").get("subject")
            known = Descriptor.from_node(subject).digest if subject else None
            self._storage.delete_manifest(repository, digest, known)
        return Reply(202)

    def _tagged(self, repository: str, tag: str) -> Digest:
        return self._storage.tagged(repository, _checked_tag(tag))

    def _tagged_referrers(self, repository: str, subject: Digest) -> tuple[Descriptor, ...]:
        """Read what clients keep under the referrers tag for registries without this endpoint."""
        tag = f"{subject.algorithm}-{subject.hex[:64]}"
        try:
            digest = self._storage.tagged(repository, tag)
            return Index.parse(self._storage.manifest(repository, digest)[1]).manifests
        except (NotFound, InvalidInput):
            return ()


def _read(request: Incoming) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data := request.body.read(1 << 16):
        size += len(data)
        if size > MAX_MANIFEST:
            raise Problem("SIZE_INVALID", f"manifest of more than {MAX_MANIFEST} bytes", status=413)
        parts.append(data)
    return b"".join(parts)


def _name_digest(name: str, raw: bytes) -> Digest:
    """Compute what the manifest is called by; raises Problem if its name says otherwise."""
    if ":" not in name:
        _checked_tag(name)
        return Digest.of(raw)
    digest = parse_digest(name)
    state = hasher(digest.algorithm)
    state.update(raw)
    if state.hexdigest() != digest.hex:
        raise Problem("DIGEST_INVALID", f"the manifest does not have digest {digest}")
    return digest


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise Problem("TAG_INVALID", f"invalid tag {tag[:80]!r}")
    return tag


def _media_type(raw: bytes, declared: str) -> str:
    """Take the header's type, which the document must not contradict; raises InvalidInput."""
    written = Node.parse(raw, "manifest").get("mediaType")
    media_type = declared or (written.text() if written else "")
    if media_type not in MANIFESTS | INDEXES:
        raise InvalidInput(f"media type {media_type[:80]!r} is not supported")
    if written is not None and written.text() != media_type:
        raise InvalidInput(f"Content-Type is {media_type!r}, mediaType {written.text()[:80]!r}")
    return media_type


def _referrer(digest: Digest, media_type: str, raw: bytes) -> Descriptor:
    """Describe a manifest as the referrers list does: with its artifact type and annotations."""
    node = Node.parse(raw, "manifest")
    stated, config = node.get("artifactType"), node.get("config")
    annotations = node.get("annotations")
    kind = stated.text() if stated else (config.need("mediaType").text() if config else None)
    return Descriptor(
        media_type,
        digest,
        len(raw),
        artifact_type=kind,
        annotations=annotations.text_map() if annotations else {},
    )


def _page(
    names: list[str], query: Mapping[str, str], path: str
) -> tuple[list[str], dict[str, str]]:
    """Cut a page out of sorted names, with the Link to the next (RFC 5988)."""
    wanted = query.get("n", "")
    if wanted and not (wanted.isascii() and wanted.isdigit()):
        raise Problem("UNSUPPORTED", f"n={wanted[:20]!r} is no number", status=400)
    count = int(wanted[:9]) if wanted else _DEFAULT_PAGE
    if last := query.get("last"):
        names = [name for name in names if name > last]
    page = names[:count]
    if len(page) == len(names) or not page:
        return page, {}
    return page, {"link": f'<{path}?n={count}&last={quote(page[-1], safe="")}>; rel="next"'}
