"""Frames: ten bytes of header (big-endian), then the payload."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

HEADER = struct.Struct(">IIBB")
#: PROTOCOL.md: the largest payload; the header is not counted.
PAYLOAD_MAX = 4 << 20


class FrameType(enum.IntEnum):
    """What a frame holds. A frame of another type is to be ignored."""

    REQUEST = 1
    RESPONSE = 2
    DATA = 3


class Frame(NamedTuple):
    """One frame. `oversized` frames come without their payload, which was skipped."""

    stream: int
    type: int
    flags: int = 0
    payload: bytes = b""
    oversized: bool = False

    def encode(self) -> bytes:
        """Return header and payload; raises ValueError for a payload above 4 MiB."""
        if len(self.payload) > PAYLOAD_MAX:
            raise ValueError(f"a payload of {len(self.payload)} bytes: at most {PAYLOAD_MAX}")
        return HEADER.pack(len(self.payload), self.stream, self.type, self.flags) + self.payload


class FrameReader:
    """Cuts a stream of bytes, received in any portions, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._to_skip = 0

    def receive(self, data: bytes) -> list[Frame]:
        """Take some bytes and return the frames that they complete."""
        self._buffer += data
        frames: list[Frame] = []
        while True:
            skipped = min(self._to_skip, len(self._buffer))
            del self._buffer[:skipped]
            self._to_skip -= skipped
            if self._to_skip or len(self._buffer) < HEADER.size:
                return frames
            length, stream, kind, flags = HEADER.unpack_from(self._buffer)
            if length > PAYLOAD_MAX:
                del self._buffer[: HEADER.size]
                self._to_skip = length
                frames.append(Frame(stream, kind, flags, oversized=True))
                continue
            end = HEADER.size + length
            if len(self._buffer) < end:
                return frames
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            frames.append(Frame(stream, kind, flags, payload))
