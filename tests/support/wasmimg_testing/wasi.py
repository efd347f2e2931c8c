"""A guest without an engine: tests call host functions through their real C callbacks."""

from __future__ import annotations

import contextlib
import ctypes
import struct
from typing import TYPE_CHECKING

import pytest

from wasmimg_shim.guest import Guest
from wasmimg_shim.wasi.binding import bind
from wasmimg_shim.wasi.fdtable import FdTable
from wasmimg_shim.wasi.world import MODULE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = 1 << 18
STDERR = 2


class Trapped(Exception):
    """The host function asked for a trap."""


class Stage:
    """Linear memory with a simple allocator, and the functions of one World."""

    def __init__(self, guest: Guest | None = None) -> None:
        self.memory = bytearray(MEMORY)
        self.world = World(guest or Guest(("test.wasm",)), lambda: memoryview(self.memory))
        self._next = 64
        self._ending: BaseException | None = None

    def open(self) -> Stage:
        self.world.open()
        return self

    def put(self, content: bytes) -> int:
        """Store the bytes somewhere, aligned to 8."""
        address = self._next
        self._next += (len(content) + 7) // 8 * 8 or 8
        assert self._next <= MEMORY
        self.memory[address : address + len(content)] = content
        return address

    def room(self, length: int = 8) -> int:
        return self.put(bytes(length))

    def path(self, text: str | bytes) -> tuple[int, int]:
        content = text.encode() if isinstance(text, str) else text
        return self.put(content), len(content)

    def iovecs(self, *buffers: bytes) -> int:
        return self.put(b"".join(struct.pack("<II", self.put(b), len(b)) for b in buffers))

    def u32(self, address: int) -> int:
        return int.from_bytes(self.memory[address : address + 4], "little")

    def u64(self, address: int) -> int:
        return int.from_bytes(self.memory[address : address + 8], "little")

    def call(self, name: str, *arguments: int) -> int:
        """Call the version of `name` with so many parameters; returns its errno."""
        (parameters,) = {
            function.parameters
            for function in self.world._functions[name]
            if len(function.parameters) == len(arguments)
        }
        returns = {"proc_exit": ""}.get(name, "i")
        function = self.world.function(MODULE, name, parameters, returns)
        slots = (ctypes.c_uint32 * 64)()
        for index, (letter, value) in enumerate(zip(parameters, arguments, strict=True)):
            slots[4 * index] = value & 0xFFFF_FFFF
            if letter == "I":
                slots[4 * index + 1] = value >> 32 & 0xFFFF_FFFF
        self._ending = None
        callback = bind(function, self._trap)
        if callback(0, 0, ctypes.addressof(slots)):
            assert self._ending is not None
            raise Trapped from self._ending
        return slots[0]

    def ok(self, name: str, *arguments: int) -> None:
        assert self.call(name, *arguments) == 0

    def open_path(
        self,
        folder: int,
        path: str | bytes,
        *,
        oflags: int = 0,
        base: int = (1 << 30) - 1,
        fdflags: int = 0,
        follow: int = 1,
    ) -> tuple[int, int]:
        """Open a path; returns (errno, fd)."""
        result = self.room()
        inheriting = (1 << 30) - 1
        number = self.call(
            "path_open", folder, follow, *self.path(path), oflags, base, inheriting, fdflags, result
        )
        return number, self.u32(result)

    def write(self, fd: int, *buffers: bytes) -> int:
        written = self.room()
        self.ok("fd_write", fd, self.iovecs(*buffers), len(buffers), written)
        return self.u32(written)

    def read(self, fd: int, length: int = 4096) -> bytes:
        buffer, read = self.room(length), self.room()
        self.ok("fd_read", fd, self.put(struct.pack("<II", buffer, length)), 1, read)
        return bytes(self.memory[buffer : buffer + self.u32(read)])

    def _trap(self, ending: BaseException) -> int:
        self._ending = ending
        return 1


@contextlib.contextmanager
def tables_closed() -> Iterator[None]:
    """Close what the guests made meanwhile leave open, as the end of their process would."""
    tables: list[FdTable] = []
    make = FdTable.__init__

    def noted(table: FdTable) -> None:
        make(table)
        tables.append(table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FdTable, "__init__", noted)
        yield
    for table in tables:
        for number, descriptor in list(table.open.items()):
            if descriptor.host > STDERR:
                table.close(number)
