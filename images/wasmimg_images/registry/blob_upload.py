"""Sends one blob of the store, driving `upload.Upload` over a session.

The file goes from disk to socket in pieces and is hashed on the way, each byte once, so that a blob
which rotted in the store is noticed before the registry is told that it is complete.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol
from urllib.parse import urlencode

from wasmimg_images.digest import CHUNK, hasher
from wasmimg_images.errors import DigestMismatch, RegistryError
from wasmimg_images.registry.authorization import Scope
from wasmimg_images.registry.failure import BODY_LIMIT, Refused, Unauthorized, Unreachable
from wasmimg_images.registry.message import Request, read_at_most
from wasmimg_images.registry.progress import Progress
from wasmimg_images.registry.retry import TEMPORARY
from wasmimg_images.registry.session import Backoff
from wasmimg_images.registry.upload import Begin, Check, Done, Finish, Query, Send, Upload
from wasmimg_images.registry.url import split_url

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_images.registry.authorization import Scopes
    from wasmimg_images.registry.message import Response
    from wasmimg_images.registry.progress import Watch
    from wasmimg_images.registry.session import Session
    from wasmimg_images.spec import Descriptor

#: Blobs up to this size go up in one request; larger ones in requests of this size.
CHUNK_SIZE: Final = 64 << 20
_OCTETS: Final = {"content-type": "application/octet-stream"}


class Resumptions(Protocol):
    """Remembers open upload sessions, so that a killed push goes on where it was."""

    def load(self, key: str) -> str | None:
        """Give the location that was kept, if any."""
        ...

    def save(self, key: str, location: str | None) -> None:
        """Keep a location, or forget it."""
        ...


class Source:
    """A blob's bytes from any offset on, hashed in order whatever the order they are asked in."""

    def __init__(self, file: BinaryIO, descriptor: Descriptor) -> None:
        self._file = file
        self._descriptor = descriptor
        self._hasher = hasher(descriptor.digest.algorithm)
        self._hashed = 0

    def seek(self, offset: int) -> None:
        """Stand at an offset, having hashed all before it."""
        if offset > self._hashed:
            self._file.seek(self._hashed)
            while self._hashed < offset:
                self.read(min(CHUNK, offset - self._hashed))
        self._file.seek(offset)

    def read(self, size: int) -> bytes:
        """Read on; raises DigestMismatch at the last byte, or where the file ends too early."""
        start = self._file.tell()
        data = self._file.read(size)
        end = start + len(data)
        if not data and end < self._descriptor.size:
            raise DigestMismatch(
                f"stored blob {self._descriptor.digest} has {end} of {self._descriptor.size} bytes",
                hint="pull or build the image again",
            )
        if end > self._hashed:
            self._hasher.update(memoryview(data)[self._hashed - start :])
            self._hashed = end
        if self._hashed == self._descriptor.size:
            self.verify()
        return data

    def verify(self) -> None:
        """Compare; raises DigestMismatch."""
        if self._hasher.hexdigest() != self._descriptor.digest.hex:
            raise DigestMismatch(
                f"stored blob {self._descriptor.digest} is damaged",
                hint="pull or build the image again",
            )


class _Window:
    """A request's body: `length` bytes of a source from where it stands."""

    def __init__(self, source: Source, descriptor: Descriptor, send: Send, watch: Watch) -> None:
        source.seek(send.offset)
        self._source = source
        self._left = send.length
        self._watch = watch
        self._progress = Progress(descriptor, "running", send.offset)

    def read(self, size: int, /) -> bytes:
        """Read on, to the end of the window."""
        if not self._left:
            return b""
        data = self._source.read(min(size if size > 0 else CHUNK, self._left))
        self._left -= len(data)
        self._progress = self._progress._replace(done=self._progress.done + len(data))
        self._watch(self._progress)
        return data


class BlobUpload:
    """One blob on its way to one repository."""

    def __init__(
        self,
        session: Session,
        repository: str,
        scopes: Scopes,
        descriptor: Descriptor,
        resumptions: Resumptions,
    ) -> None:
        self._session = session
        self._repository = repository
        self._scopes = scopes
        self._descriptor = descriptor
        self._resumptions = resumptions
        self._key = f"{session.host}/{repository}@{descriptor.digest}"
        self._what = f"upload of {descriptor.digest.short} to {session.host}/{repository}"

    def run(
        self, path: Path, watch: Watch, *, chunk: int = CHUNK_SIZE, mount_from: str | None = None
    ) -> bool:
        """Upload, or mount; tells whether it was mounted. Raises RegistryError, DigestMismatch."""
        size = self._descriptor.size
        kept = self._resumptions.load(self._key) if size > chunk else None
        upload = Upload(size, chunk=chunk, mount_from=mount_from, location=kept)
        backoff = Backoff(self._session.effects)
        with path.open("rb") as file:
            source = Source(file, self._descriptor)
            while not isinstance(upload.step, Done):
                reached = upload.offset
                try:
                    self._advance(upload, source, backoff, watch)
                except DigestMismatch:
                    self._resumptions.save(self._key, None)
                    raise
                if upload.offset > reached:
                    backoff.succeeded()
                if size > chunk:
                    self._resumptions.save(self._key, upload.location)
        return upload.step.mounted

    def _advance(self, upload: Upload, source: Source, backoff: Backoff, watch: Watch) -> None:
        request = self._request(upload, source, watch)
        try:
            response = self._session.attempt(request, self._scopes_of(upload))
        except Unauthorized:
            if not _mounting(upload):
                raise
            upload.step = Begin(None)  # no token for the other repository: send the bytes
            return
        except Unreachable as broken:
            if not broken.temporary:
                raise
            upload.interrupted()
            backoff.failed(broken)
            return
        if upload.expects(response.status):
            self._accept(upload, response, request.url, backoff)
        elif response.status in TEMPORARY:
            wish = response.headers.get("retry-after")
            error = self._session.refused(self._what, response)
            upload.interrupted()
            backoff.failed(error, wish)
        else:
            self._give_up(upload, response)

    def _accept(self, upload: Upload, response: Response, url: str, backoff: Backoff) -> None:
        headers = dict(response.headers)
        if location := self._session.location(response, url):
            headers["location"] = location
        read_at_most(response, BODY_LIMIT)
        response.close()
        checked = isinstance(upload.step, Check)
        upload.answered(response.status, headers)
        if isinstance(upload.step, Query) or (checked and isinstance(upload.step, Begin)):
            # a session that is lost or disagrees again and again must come to an end
            backoff.failed(RegistryError(f"{self._what}: the registry lost the upload"))

    def _give_up(self, upload: Upload, response: Response) -> None:
        error = self._session.refused(self._what, response)
        if _mounting(upload):
            upload.step = Begin(None)
            return
        self._resumptions.save(self._key, None)
        if isinstance(error, Refused) and any(
            d.code == "DIGEST_INVALID" for d in error.diagnostics
        ):
            raise DigestMismatch(
                f"{self._what}: the registry received other bytes than were sent",
                hint="something between changes what passes; try again, over TLS",
            ) from error
        raise error

    def _scopes_of(self, upload: Upload) -> Scopes:
        match upload.step:
            case Begin(str(origin)):
                return (*self._scopes, Scope(origin, ("pull",)))
            case _:
                return self._scopes

    def _request(self, upload: Upload, source: Source, watch: Watch) -> Request:
        digest, blobs = self._descriptor.digest, f"/v2/{self._repository}/blobs/"
        match upload.step:
            case Begin(origin):
                wish = {"mount": str(digest), "from": origin} if origin else {}
                query = f"?{urlencode(wish, safe=':/')}" if wish else ""
                return Request("POST", f"{blobs}uploads/{query}", length=0)
            case Send(location=location, offset=offset, length=length, last=last) as send:
                headers = dict(_OCTETS)
                if not last:
                    headers["content-range"] = f"{offset}-{offset + length - 1}"
                return Request(
                    "PUT" if last else "PATCH",
                    self._finishing(location) if last else location,
                    headers,
                    lambda: _Window(source, self._descriptor, send, watch),
                    length,
                )
            case Finish(location):
                source.seek(self._descriptor.size)
                source.verify()
                return Request("PUT", self._finishing(location), _OCTETS, length=0)
            case Query(location):
                return Request("GET", location)
            case Check() | Done():
                return Request("HEAD", f"{blobs}{digest}")

    def _finishing(self, location: str) -> str:
        joint = "&" if split_url(location).query else "?"
        return f"{location}{joint}digest={self._descriptor.digest}"


def _mounting(upload: Upload) -> bool:
    return isinstance(upload.step, Begin) and upload.step.mount_from is not None


class Forgetful:
    """Remembers nothing: an interrupted push starts its blob again."""

    def load(self, key: str) -> str | None:
        """Know of nothing."""
        del key
        return None

    def save(self, key: str, location: str | None) -> None:
        """Keep nothing."""
        del key, location


class ResumptionFolder:
    """One small file an open session, in a folder of the cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> str | None:
        """Give the location of the session, if there is one."""
        try:
            return self._path(key).read_text().strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def save(self, key: str, location: str | None) -> None:
        """Keep or forget it; a full disk costs only the resumption."""
        path = self._path(key)
        with contextlib.suppress(OSError):
            if location is None:
                path.unlink(missing_ok=True)
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = path.with_suffix(".new")
            partial.write_text(location)
            partial.rename(path)

    def _path(self, key: str) -> Path:
        state = hasher("sha256")
        state.update(key.encode())
        return self._folder / state.hexdigest()
