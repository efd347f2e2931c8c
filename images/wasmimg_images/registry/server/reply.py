"""What an endpoint is given and what it gives back, without HTTP's wire form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_images.digest import Readable
    from wasmimg_images.registry.server.route import Route

#: Error codes of distribution-spec 1.1 ("Error Codes") and the status each comes with.
STATUSES: Final[Mapping[str, int]] = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 400,
    "TAG_INVALID": 400,
    "TOOMANYREQUESTS": 429,
    "UNAUTHORIZED": 401,
    "UNSUPPORTED": 405,
}


class Incoming(NamedTuple):
    """A request that found its endpoint; header names are lower case."""

    method: str
    route: Route
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Readable
    length: int | None


class Part(NamedTuple):
    """Bytes of an open file; whoever sends them closes it."""

    file: BinaryIO
    offset: int
    length: int


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes | Part = b""


class Problem(Exception):
    """A refusal with one of the specification's error codes."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUSES[code]
        self.headers = headers or {}

    def reply(self) -> Reply:
        """Give the specification's error body."""
        return json_reply(
            {"errors": [{"code": self.code, "message": self.message}]}, self.status, self.headers
        )


def json_reply(
    document: dict[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """Answer with a document."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Reply(status, {"content-type": "application/json", **(headers or {})}, body)
