"""The calling end of a connection: any number of calls under way at once."""

from __future__ import annotations

from typing import NamedTuple

from wasmimg_shim import messages
from wasmimg_shim.protobuf import MalformedMessage
from wasmimg_shim.ttrpc.frame import Frame, FrameReader, FrameType
from wasmimg_shim.ttrpc.status import Code, ProtocolError, RpcError
from wasmimg_shim.wire import decode, encode


class Answer(NamedTuple):
    """What came back for one call: a payload, or an error."""

    stream: int
    payload: bytes
    error: RpcError | None = None

    def result(self) -> bytes:
        """Return the payload; raises the RpcError that the server answered with."""
        if self.error is not None:
            raise self.error
        return self.payload


class ClientConnection:
    """State of one connection to a server."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._next_stream = 1
        self._open: set[int] = set()

    def call(
        self,
        service: str,
        method: str,
        payload: bytes,
        *,
        timeout_ns: int = 0,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> tuple[int, bytes]:
        """Begin a call: return its stream and the bytes to send; ValueError if above 4 MiB."""
        pairs = tuple(messages.KeyValue(*pair) for pair in metadata)
        request = messages.Request(service, method, payload, timeout_ns, pairs)
        stream = self._next_stream
        data = Frame(stream, FrameType.REQUEST, payload=encode(request)).encode()
        self._next_stream += 2
        self._open.add(stream)
        return stream, data

    def abandon(self, stream: int) -> None:
        """Forget a call: its answer, should one come, is dropped."""
        self._open.discard(stream)

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes from the server; return the answers that they complete.

        Raises ProtocolError for an answer that can't be read.
        """
        answers: list[Answer] = []
        for frame in self._frames.receive(data):
            if frame.type != FrameType.RESPONSE or frame.stream not in self._open:
                continue
            self._open.discard(frame.stream)
            answers.append(_answer(frame))
        return answers


def _answer(frame: Frame) -> Answer:
    if frame.oversized:
        error = RpcError(Code.RESOURCE_EXHAUSTED, "the answer exceeds 4 MiB")
        return Answer(frame.stream, b"", error)
    try:
        response = decode(messages.Response, frame.payload)
    except MalformedMessage as error:
        raise ProtocolError(f"malformed response: {error}") from error
    status = response.status
    if status is None or status.code == Code.OK:
        return Answer(frame.stream, response.payload)
    return Answer(frame.stream, b"", RpcError(status.code, status.message))
