"""The answering end of a connection.

Calls are independent: `receive` returns them as they come, `reply` and `fail` may be used in any
order. A request that breaks a rule is answered here and never seen by the caller.
"""

from __future__ import annotations

from typing import NamedTuple

from wasmimg_shim import messages
from wasmimg_shim.protobuf import MalformedMessage
from wasmimg_shim.ttrpc.frame import PAYLOAD_MAX, Frame, FrameReader, FrameType
from wasmimg_shim.ttrpc.status import Code
from wasmimg_shim.wire import decode, encode


class Call(NamedTuple):
    """One request that waits for its answer."""

    stream: int
    service: str
    method: str
    payload: bytes
    metadata: tuple[tuple[str, str], ...] = ()


class ServerConnection:
    """State of one client's connection."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._last_stream = 0

    def receive(self, data: bytes) -> tuple[list[Call], bytes]:
        """Take bytes from the client; return new calls and the bytes to send to it at once."""
        calls: list[Call] = []
        answers = bytearray()
        for frame in self._frames.receive(data):
            if frame.type != FrameType.REQUEST:
                continue
            match self._accept(frame):
                case Call() as call:
                    calls.append(call)
                case code, message:
                    answers += self.fail(frame.stream, code, message)
        return calls, bytes(answers)

    def _accept(self, frame: Frame) -> Call | tuple[Code, str]:
        if frame.stream % 2 == 0:
            return Code.INVALID_ARGUMENT, "StreamID must be odd for client initiated streams"
        if frame.stream <= self._last_stream:
            return Code.INVALID_ARGUMENT, "StreamID cannot be re-used and must increment"
        self._last_stream = frame.stream
        if frame.oversized:
            return Code.RESOURCE_EXHAUSTED, f"message exceeds the maximum of {PAYLOAD_MAX} bytes"
        try:
            request = decode(messages.Request, frame.payload)
        except MalformedMessage as error:
            return Code.INVALID_ARGUMENT, f"malformed request: {error}"
        return Call(
            frame.stream,
            request.service,
            request.method,
            request.payload,
            tuple((pair.key, pair.value) for pair in request.metadata),
        )

    def reply(self, stream: int, payload: bytes) -> bytes:
        """Return the bytes that answer a call with a result."""
        body = encode(messages.Response(payload=payload))
        if len(body) > PAYLOAD_MAX:
            return self.fail(stream, Code.RESOURCE_EXHAUSTED, "the answer exceeds 4 MiB")
        return Frame(stream, FrameType.RESPONSE, payload=body).encode()

    def fail(self, stream: int, code: Code, message: str) -> bytes:
        """Return the bytes that answer a call with an error."""
        status = messages.Status(code, message[: PAYLOAD_MAX // 8])
        body = encode(messages.Response(status))
        return Frame(stream, FrameType.RESPONSE, payload=body).encode()
