"""The state of a connection: calls and bytes in, bytes and messages out.

Source: grpc/grpc, doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError as HttpError

from wasmimg_shim.ttrpc.status import Code, ProtocolError, RpcError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from h2.events import Event

#: before each message: whether it is compressed, and its size
_PREFIX = struct.Struct(">BI")
#: containerd's own limit for one message
_MESSAGE_MAX = 16 << 20


class ClientConnection:
    """One connection to a server; one call at a time."""

    def __init__(self, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        """`metadata` goes with every call; its names are in lower case."""
        self.finished = True
        self._metadata = metadata
        self._received = bytearray()
        self._status: RpcError | None = None
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.initiate_connection()

    def call(self, method: str, request: bytes) -> None:
        """Begin a call of `/package.Service/Method`, once the one before has finished."""
        assert self.finished, "one call at a time"
        self.finished, self._status = False, None
        self._received.clear()
        stream = self._http.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *self._metadata,
        ]
        self._http.send_headers(stream, headers)
        self._http.send_data(stream, _PREFIX.pack(0, len(request)) + request, end_stream=True)

    def outgoing(self) -> bytes:
        """Take what is to be sent now."""
        return self._http.data_to_send()

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes from the server; return the messages that they complete.

        Raises the RpcError that the call was answered with, ProtocolError for nonsense.
        """
        try:
            for event in self._http.receive_data(data):
                self._take(event)
        except HttpError as error:
            raise ProtocolError(f"not HTTP/2: {error}") from error
        messages = list(self._messages())
        if self.finished:
            if self._received:
                raise ProtocolError("the answer ends within a message")
            if self._status is None:
                raise ProtocolError("an answer without a status")
            if self._status.code != Code.OK:
                raise self._status
        return messages

    def _take(self, event: Event) -> None:
        match event:
            case DataReceived():
                self._received += event.data
                size = event.flow_controlled_length
                self._http.acknowledge_received_data(size, event.stream_id)
            case ResponseReceived() | TrailersReceived():
                self._status = _status(event.headers) or self._status
            case StreamEnded():
                self.finished = True
            case StreamReset():
                raise ProtocolError(f"the call was reset with code {event.error_code}")
            case ConnectionTerminated():
                raise ProtocolError(f"the server goes away with code {event.error_code}")
            case _:
                pass

    def _messages(self) -> Iterator[bytes]:
        while len(self._received) >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(self._received)
            if compressed or size > _MESSAGE_MAX:
                raise ProtocolError("a message that is compressed or too long")
            end = _PREFIX.size + size
            if len(self._received) < end:
                return
            yield bytes(self._received[_PREFIX.size : end])
            del self._received[:end]


def _status(headers: Iterable[tuple[str | bytes, str | bytes]]) -> RpcError | None:
    """Read a call's outcome from the headers that may hold it."""
    found = {_text(name): _text(value) for name, value in headers}
    if found.get(":status", "200") != "200":
        return RpcError(Code.UNKNOWN, f"HTTP status {found[':status']}")
    code = found.get("grpc-status")
    if code is None:
        return None
    if not code.isdecimal():
        raise ProtocolError(f"{code!r} is no status")
    return RpcError(int(code), unquote(found.get("grpc-message", "")))


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
