"""The guest's descriptors: small numbers of its own, each a host descriptor with rights."""

from __future__ import annotations

import os
import stat
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_shim.wasi import rights
from wasmimg_shim.wasi.errno import BADF, NOTCAPABLE, ROFS
from wasmimg_shim.wasi.memory import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Descriptor", "Entry", "FdTable", "file_type"]

UNKNOWN, BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, REGULAR_FILE = 0, 1, 2, 3, 4
SOCKET_DGRAM, SOCKET_STREAM, SYMBOLIC_LINK = 5, 6, 7
_TYPES = {
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFCHR: CHARACTER_DEVICE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFREG: REGULAR_FILE,
    stat.S_IFSOCK: SOCKET_STREAM,
    stat.S_IFLNK: SYMBOLIC_LINK,
}


def file_type(mode: int) -> int:
    """WASI's `filetype` of a mode; a FIFO has none and is unknown."""
    return _TYPES.get(stat.S_IFMT(mode), UNKNOWN)


class Entry(NamedTuple):
    """One line of a folder listing."""

    name: bytes
    inode: int
    kind: int


class Descriptor:
    """An open file, folder or socket of the guest.

    `owes` is for accepted connections: input was read and nothing sent since. `listing` is the
    folder as it was when it was last read from its beginning.
    """

    __slots__ = (
        "accepted",
        "domain",
        "guest_path",
        "host",
        "inheriting",
        "kind",
        "listening",
        "listing",
        "owes",
        "preopened",
        "read_into",
        "read_only",
        "rights",
        "write_from",
    )

    def __init__(self, host: int, kind: int, base: int, inheriting: int = 0) -> None:
        self.host = host
        self.kind = kind
        self.rights = base
        self.inheriting = inheriting
        self.guest_path: str | None = None
        self.preopened = False
        self.read_only = False
        self.listing: list[Entry] | None = None
        self.domain = 0
        self.listening = False
        self.accepted = False
        self.owes = False
        self.read_into: Callable[[memoryview], int | None] | None = None
        self.write_from: Callable[[memoryview], int | None] | None = None

    # A call by the two below costs half of one by os.readv or os.writev.

    def reader(self) -> Callable[[memoryview], int | None]:
        """Make `read_into`: read(2), None for EAGAIN."""
        self.read_into = FileIO(self.host, "rb", closefd=False).readinto
        return self.read_into

    def writer(self) -> Callable[[memoryview], int | None]:
        """Make `write_from`: write(2), None for EAGAIN."""
        self.write_from = FileIO(self.host, "r+b", closefd=False).write
        return self.write_from

    def demand(self, needed: int) -> None:
        """Refused unless the descriptor has these rights: ROFS where a read-only mount denies."""
        missing = needed & ~self.rights
        if missing:
            raise Refused(ROFS if self.read_only and missing & rights.CHANGING else NOTCAPABLE)


class FdTable:
    """Numbers to descriptors, the lowest free number first."""

    def __init__(self) -> None:
        self.open: dict[int, Descriptor] = {}
        self._lowest = 0
        #: told of each host descriptor that is about to be closed, or that loses rights
        self.on_change: Callable[[int], None] = lambda _host: None

    def add(self, descriptor: Descriptor) -> int:
        """Give the descriptor a number."""
        number = self._lowest
        while number in self.open:
            number += 1
        self.open[number] = descriptor
        self._lowest = number + 1
        return number

    def get(self, number: int, needed: int = 0) -> Descriptor:
        """The descriptor with these rights, or Refused(BADF, NOTCAPABLE or ROFS)."""
        descriptor = self.open.get(number)
        if descriptor is None:
            raise Refused(BADF)
        if needed & ~descriptor.rights:
            descriptor.demand(needed)
        return descriptor

    def close(self, number: int) -> None:
        """Close it and free its number; Refused(BADF) if it is not open."""
        descriptor = self.open.pop(number, None)
        if descriptor is None:
            raise Refused(BADF)
        self._lowest = min(self._lowest, number)
        self._release(descriptor)

    def renumber(self, source: int, target: int) -> None:
        """Move `source` onto `target`, which is closed; both must be open."""
        if target not in self.open:
            raise Refused(BADF)
        moved = self.get(source)
        if source == target:
            return
        self._release(self.open[target])
        self.open[target] = moved
        del self.open[source]
        self._lowest = min(self._lowest, source)

    def _release(self, descriptor: Descriptor) -> None:
        if descriptor.host >= 0:
            self.on_change(descriptor.host)
            host, descriptor.host = descriptor.host, -1
            os.close(host)
