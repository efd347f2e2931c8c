"""The guest's linear memory: every access checked, nothing read or written outside it.

A host function checks all that it will write before it has an effect, so that a bad pointer never
loses data. The view is taken anew only when an address lies beyond it, since memory grows but
never moves or shrinks while the engine reserves its whole address range.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from wasmimg_shim.wasi.errno import FAULT, INVAL

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_IOVECS", "Memory", "Refused"]

#: as IOV_MAX, and as WasmEdge
MOST_IOVECS = 1024
_PAIR = struct.Struct("<II")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Refused(Exception):
    """A host function ends with this WASI errno, having done nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Memory:
    """A cached view of the guest's memory; `view` is as long as `size` says."""

    __slots__ = ("_take", "size", "view")

    def __init__(self, take: Callable[[], memoryview]) -> None:
        self._take = take
        self.view = memoryview(b"")
        self.size = 0

    def check(self, address: int, length: int) -> None:
        """Refused(FAULT) unless these bytes are in memory."""
        if address + length > self.size:
            self.view = self._take()
            self.size = len(self.view)
            if address + length > self.size:
                raise Refused(FAULT)

    def window(self, address: int, length: int) -> memoryview:
        """The bytes themselves, writable."""
        end = address + length
        if end > self.size:
            self.check(address, length)
        return self.view[address:end]

    def read(self, address: int, length: int) -> bytes:
        """Copy of the bytes."""
        return bytes(self.window(address, length))

    def write(self, address: int, content: bytes) -> None:
        """Store the bytes."""
        self.window(address, len(content))[:] = content

    def u32(self, address: int) -> int:
        """The little-endian number at this address."""
        self.check(address, 4)
        number: int = _U32.unpack_from(self.view, address)[0]
        return number

    def put_u16(self, address: int, number: int) -> None:
        """Store a little-endian number."""
        self.check(address, 2)
        _U16.pack_into(self.view, address, number)

    def put_u32(self, address: int, number: int) -> None:
        """Store a little-endian number."""
        self.check(address, 4)
        _U32.pack_into(self.view, address, number)

    def put_u64(self, address: int, number: int) -> None:
        """Store a little-endian number, modulo 2**64."""
        self.check(address, 8)
        _U64.pack_into(self.view, address, number & 0xFFFF_FFFF_FFFF_FFFF)

    def buffers(self, iovecs: int, count: int) -> list[memoryview]:
        """The buffers that an array of `iovec` or `ciovec` names; Refused(INVAL) above 1024."""
        if count == 1:
            self.check(iovecs, 8)
            address, length = _PAIR.unpack_from(self.view, iovecs)
            return [self.window(address, length)]
        if count > MOST_IOVECS:
            raise Refused(INVAL)
        return [
            self.window(address, length)
            for address, length in _PAIR.iter_unpack(self.read(iovecs, 8 * count))
        ]
