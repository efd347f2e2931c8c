"""Reading the WebAssembly binary format: numbers, names and sections, with errors that say where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAGIC: Final = b"\0asm"
PREAMBLE: Final = 8
_U32_BYTES: Final = 5


class Cursor:
    """A place in a module, up to an end; `what` names the part in errors."""

    def __init__(self, data: bytes, start: int, end: int, what: str) -> None:
        self._data = data
        self.at = start
        self.end = end
        self.what = what

    def broken(self, why: str) -> InvalidInput:
        """Say what is wrong here."""
        return InvalidInput(f"{self.what}: {why} at byte {self.at}")

    def byte(self) -> int:
        """Read one byte."""
        if self.at >= self.end:
            raise self.broken("ends too early")
        value = self._data[self.at]
        self.at += 1
        return value

    def peek(self) -> int:
        """Look at the next byte; -1 at the end."""
        return self._data[self.at] if self.at < self.end else -1

    def u32(self) -> int:
        """Read an unsigned LEB128 number of at most 32 bits (core spec, binary/values)."""
        value = shift = 0
        for _ in range(_U32_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 -- the continuation bit
                if value >> 32:
                    break
                return value
        raise self.broken("has a number of more than 32 bits")

    def leb(self) -> None:
        """Skip a LEB128 number of any width."""
        while self.byte() & 0x80:
            pass

    def take(self, size: int) -> bytes:
        """Read bytes."""
        if size > self.end - self.at:
            raise self.broken(f"wants {size} bytes and has {self.end - self.at}")
        value = self._data[self.at : self.at + size]
        self.at += size
        return value

    def name(self) -> str:
        """Read a length and UTF-8."""
        raw = self.take(self.u32())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.broken("has a name that is not UTF-8") from None

    def count(self) -> range:
        """Read the length of a vector; each item takes a byte at least."""
        count = self.u32()
        if count > self.end - self.at:
            raise self.broken(f"announces {count} items in {self.end - self.at} bytes")
        return range(count)


class Section(NamedTuple):
    """One section; `body` spans its content."""

    id: int
    name: str
    body: Cursor


def sections(data: bytes, names: Mapping[int, str], what: str) -> Iterator[Section]:
    """Walk the sections after the preamble; raises InvalidInput for truncated or unknown ones."""
    cursor = Cursor(data, PREAMBLE, len(data), what)
    while cursor.at < cursor.end:
        start = cursor.at
        number = cursor.byte()
        name = names.get(number)
        if name is None:
            cursor.at = start
            raise cursor.broken(f"has a section of unknown kind {number}")
        size = cursor.u32()
        left = cursor.end - cursor.at
        if size > left:
            raise InvalidInput(
                f"{what}: truncated: the {name} section at byte {start}"
                f" has {left} of its {size} bytes",
            )
        body = Cursor(data, cursor.at, cursor.at + size, f"{what}: {name} section")
        cursor.at += size
        yield Section(number, name, body)
