"""A request's body off the wire: by Content-Length or in chunks (RFC 9112 section 6 and 7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmimg_images.registry.server.reply import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedIOBase

_MAX_LINE: Final = 4096
_MAX_TRAILERS: Final = 64
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_MAX_DIGITS: Final = 16


class Broken(ConnectionError):
    """The client went away in the middle, or does not speak HTTP: only closing helps."""


class RequestBody:
    """Gives the body's bytes and nothing beyond them."""

    def __init__(self, wire: BufferedIOBase, headers: Mapping[str, str]) -> None:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None and (coding.strip().lower() != "chunked" or length is not None):
            # RFC 9112 section 6.1: who accepts both can be made to see two requests in one
            raise Problem("SIZE_INVALID", "Transfer-Encoding must be chunked and alone")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise Problem("SIZE_INVALID", "Content-Length is no number")
        self._wire = wire
        self._chunked = coding is not None
        self.length = None if self._chunked else int((length or "0")[:19])
        self._left = self.length or 0
        self.ended = not self._chunked and not self._left

    def read(self, size: int, /) -> bytes:
        """Read on; raises Broken."""
        if self._chunked and not self._left and not self.ended:
            self._next_chunk()
        if self.ended:
            return b""
        data = self._wire.read1(min(size, self._left))
        if not data:
            raise Broken("the body broke off")
        self._left -= len(data)
        if not self._left:
            self._close_part()
        return data

    def _next_chunk(self) -> None:
        digits = self._line().partition(b";")[0].strip().decode("latin-1")
        if not digits or len(digits) > _MAX_DIGITS or not _HEX.issuperset(digits):
            raise Broken("malformed chunk")
        self._left = int(digits, 16)
        if self._left:
            return
        for _ in range(_MAX_TRAILERS):
            if not self._line():
                self.ended = True
                return
        raise Broken("too many trailers")

    def _close_part(self) -> None:
        if not self._chunked:
            self.ended = True
        elif self._line():
            raise Broken("chunk without an end")

    def _line(self) -> bytes:
        line = self._wire.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise Broken("malformed chunk")
        return line.rstrip(b"\r\n")
