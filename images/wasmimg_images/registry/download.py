"""A blob as a stream that survives broken connections: it asks for the rest and reads on.

Digest and size are not checked here but by who ingests the stream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from wasmimg_images.digest import CHUNK
from wasmimg_images.errors import RegistryError
from wasmimg_images.registry.failure import Unreachable
from wasmimg_images.registry.message import Request
from wasmimg_images.registry.session import Backoff

if TYPE_CHECKING:
    from wasmimg_images.registry.authorization import Scopes
    from wasmimg_images.registry.message import Response
    from wasmimg_images.registry.session import Session
    from wasmimg_images.spec import Descriptor

_OK, _PARTIAL = 200, 206
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-")


class Download:
    """Reads a blob from one repository; not for use by several threads."""

    def __init__(
        self, session: Session, repository: str, scopes: Scopes, descriptor: Descriptor
    ) -> None:
        self._session = session
        self._url = f"/v2/{repository}/blobs/{descriptor.digest}"
        self._what = f"download of {descriptor.digest.short} from {session.host}/{repository}"
        self._scopes = scopes
        self._size = descriptor.size
        self._offset = 0
        self._backoff = Backoff(session.effects)
        self._response: Response | None = None

    def read(self, size: int, /) -> bytes:
        """Read on, over as many connections as it takes; raises RegistryError, NotFound."""
        while True:
            try:
                data = self._next(size)
            except Unreachable as broken:
                self.close()
                if not broken.temporary:
                    raise
                self._backoff.failed(broken)
                continue
            if data:
                self._backoff.succeeded()
            self._offset += len(data)
            return data

    def _next(self, size: int) -> bytes:
        response = self._response or self._open()
        data = response.read(size)
        if not data and self._offset < self._size:
            ended = f"{self._what}: ended after {self._offset} of {self._size} bytes"
            raise Unreachable(ended, temporary=True)
        return data

    def close(self) -> None:
        """Let go of the connection."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _open(self) -> Response:
        headers = {"range": f"bytes={self._offset}-"} if self._offset else {}
        response = self._session.exchange(
            self._what, Request("GET", self._url, headers), self._scopes, expect={_OK, _PARTIAL}
        )
        self._response = response
        if response.status == _OK:
            self._skip(response, self._offset)  # a registry without ranges starts again
        else:
            start = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
            if start is None or int(start[1]) != self._offset:
                self.close()
                raise RegistryError(f"{self._what}: asked for the rest, got another part")
        return response

    def _skip(self, response: Response, count: int) -> None:
        while count > 0:
            data = response.read(min(count, CHUNK))
            if not data:
                raise Unreachable(f"{self._what}: the answer broke off", temporary=True)
            count -= len(data)
