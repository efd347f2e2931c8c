"""Requests and answers as values, and the one thing that a session needs of HTTP: a Transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wasmimg_images.digest import Readable

    Body = bytes | Callable[[], Readable] | None


class Request(NamedTuple):
    """One HTTP request; header names are lower case.

    A body that is not in memory is a function, called once for every attempt; `length` is its size.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: Body = None
    length: int | None = None


class Response(Protocol):
    """An answer whose body has not been read yet; header names are lower case."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields, repeated ones joined by commas."""
        ...

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes; none at the end. Raises Unreachable if the body breaks off."""
        ...

    def close(self) -> None:
        """Give the connection back, or cut it if the body was not read."""
        ...


class Transport(Protocol):
    """Sends a request and waits for the head of the answer; may be used by several threads."""

    def send(self, request: Request) -> Response:
        """Raises Unreachable when no answer comes."""
        ...

    def close(self) -> None:
        """Close the connections that were kept."""
        ...


def read_at_most(response: Response, limit: int) -> bytes:
    """Read a small body; what is beyond `limit` bytes is cut off."""
    parts: list[bytes] = []
    while limit > 0 and (data := response.read(limit)):
        parts.append(data)
        limit -= len(data)
    return b"".join(parts)
