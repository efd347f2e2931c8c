"""Blobs and their uploads (distribution-spec 1.1: "Pulling blobs", "Pushing blobs", "Deleting blobs")."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from wasmimg_images.digest import Digest
from wasmimg_images.errors import DigestMismatch, InvalidInput, NotFound
from wasmimg_images.registry.server.reply import Part, Problem, Reply
from wasmimg_images.registry.server.route import is_repository

if TYPE_CHECKING:
    from wasmimg_images.registry.server.reply import Incoming
    from wasmimg_images.registry.server.storage import Storage, Upload

_CONTENT_RANGE: Final = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/.*)?")
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_UPLOAD: Final = re.compile(r"[0-9a-f]{32}")
#: How long a request waits for another one that adds to the same upload, seconds.
_PATIENCE: Final = 10.0


def parse_digest(text: str) -> Digest:
    """Parse a digest out of an address; raises Problem."""
    try:
        return Digest.parse(text)
    except InvalidInput as error:
        raise Problem("DIGEST_INVALID", error.message) from None


class Blobs:
    """The blob endpoints."""

    def __init__(self, storage: Storage, *, deletes: bool) -> None:
        self._storage = storage
        self._deletes = deletes

    def blob(self, request: Incoming) -> Reply:
        """GET, HEAD and DELETE of one blob."""
        digest = parse_digest(request.route.item)
        repository = request.route.repository
        try:
            if request.method == "DELETE":
                if not self._deletes:
                    raise Problem("UNSUPPORTED", "deleting is switched off")
                with self._storage.changes:
                    self._storage.delete_blob(repository, digest)
                return Reply(202)
            file = self._storage.open_blob(repository, digest)
        except NotFound as error:
            raise Problem("BLOB_UNKNOWN", error.message) from None
        size = file.seek(0, 2)
        headers = {
            "content-type": "application/octet-stream",
            "docker-content-digest": str(digest),
            "etag": f'"{digest}"',
            "accept-ranges": "bytes",
        }
        try:
            offset, end = _wanted(request.headers.get("range", ""), size)
        except Problem:
            file.close()
            raise
        if (offset, end) == (0, size):
            return Reply(200, headers, Part(file, 0, size))
        headers["content-range"] = f"bytes {offset}-{end - 1}/{size}"
        return Reply(206, headers, Part(file, offset, end - offset))

    def begin(self, request: Incoming) -> Reply:
        """POST: open an upload, take a whole blob at once, or mount one of another repository."""
        repository, query = request.route.repository, request.query
        if "mount" in query:
            digest, origin = parse_digest(query["mount"]), query.get("from", "")
            if is_repository(origin) and self._mount(repository, origin, digest):
                return self._created(repository, digest)
        upload = self._storage.begin(repository)
        if "digest" in query:
            return self._complete(upload, request)
        return self._progress(upload, 202)

    def upload(self, request: Incoming) -> Reply:
        """GET, PATCH, PUT and DELETE of an upload."""
        upload = self._find(request)
        if request.method == "GET":
            return self._progress(upload, 204)
        if not upload.lock.acquire(timeout=_PATIENCE):
            raise Problem(
                "TOOMANYREQUESTS",
                "another request adds to this upload",
                headers={"retry-after": "1"},
            )
        try:
            match request.method:
                case "DELETE":
                    self._storage.cancel(upload)
                    return Reply(204)
                case "PATCH":
                    self._append(upload, request)
                    return self._progress(upload, 202)
                case _:
                    return self._complete(upload, request)
        finally:
            upload.lock.release()

    def _find(self, request: Incoming) -> Upload:
        identity = request.route.item
        if not _UPLOAD.fullmatch(identity):
            raise Problem("BLOB_UPLOAD_UNKNOWN", f"upload {identity[:40]!r}")
        try:
            return self._storage.upload(request.route.repository, identity)
        except NotFound as error:
            raise Problem("BLOB_UPLOAD_UNKNOWN", error.message) from None

    def _mount(self, repository: str, origin: str, digest: Digest) -> bool:
        with self._storage.changes:
            if not self._storage.has_blob(origin, digest):
                return False
            self._storage.link_blob(repository, digest)
            return True

    def _append(self, upload: Upload, request: Incoming) -> None:
        """Add the body, which must start where the upload ends."""
        stated = request.headers.get("content-range")
        if stated is not None:
            found = _CONTENT_RANGE.fullmatch(stated)
            if found is None:
                raise Problem("BLOB_UPLOAD_INVALID", f"malformed Content-Range {stated[:60]!r}")
            first, last = int(found[1]), int(found[2])
            if first != upload.size:
                raise self._out_of_order(upload)
            if request.length is not None and request.length != last - first + 1:
                raise Problem("SIZE_INVALID", "Content-Range and Content-Length differ")
        try:
            upload.append(request.body)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                self._storage.cancel(upload)  # nobody could go on with it, and it takes the space
            raise

    def _out_of_order(self, upload: Upload) -> Problem:
        headers = self._progress(upload, 416).headers
        return Problem("BLOB_UPLOAD_INVALID", "chunk out of order", status=416, headers=headers)

    def _complete(self, upload: Upload, request: Incoming) -> Reply:
        if "digest" not in request.query:
            raise Problem("DIGEST_INVALID", "the digest parameter is missing")
        digest = parse_digest(request.query["digest"])
        self._append(upload, request)
        try:
            self._storage.finish(upload, digest)
        except DigestMismatch as error:
            self._storage.cancel(upload)
            raise Problem("DIGEST_INVALID", error.message) from None
        return self._created(upload.repository, digest)

    def _created(self, repository: str, digest: Digest) -> Reply:
        location = f"/v2/{repository}/blobs/{digest}"
        return Reply(201, {"location": location, "docker-content-digest": str(digest)})

    def _progress(self, upload: Upload, status: int) -> Reply:
        """Say how far an upload is; distribution writes 0-0 before the first byte, so do we."""
        return Reply(
            status,
            {
                "location": f"/v2/{upload.repository}/blobs/uploads/{upload.id}",
                "range": f"0-{max(upload.size - 1, 0)}",
                "docker-upload-uuid": upload.id,
            },
        )


def _wanted(header: str, size: int) -> tuple[int, int]:
    """Read a Range header (RFC 9110 section 14.2) as [offset, end); what we don't know means all."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or not any(found.groups()):
        return 0, size
    first, last = found.groups()
    if not first:
        offset, end = max(size - int(last), 0), size
    else:
        offset, end = int(first), min(int(last) + 1, size) if last else size
    if offset >= end:
        raise Problem(
            "SIZE_INVALID",
            "range not satisfiable",
            status=416,
            headers={"content-range": f"bytes */{size}"},
        )
    return offset, end
