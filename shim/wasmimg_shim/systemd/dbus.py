"""D-Bus messages without a socket: bytes in, values out, and back.

Source: D-Bus Specification 0.42, "Type System", "Marshaling (Wire Format)", "Message Protocol".
"""

from __future__ import annotations

import struct
from typing import NamedTuple, cast

from wasmimg_images.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CALL, REPLY, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, _, SIGNATURE = range(1, 9)
#: the type of each header field that calls have
_FIELD_TYPES = {PATH: "o", INTERFACE: "s", MEMBER: "s", DESTINATION: "s", SIGNATURE: "g"}
#: fixed types -> struct's letter; they are aligned to their size
_FIXED = dict(zip("ybnqiuxtd", "BIhHiIqQd", strict=True))
_ALIGNMENT = {"s": 4, "o": 4, "a": 4, "g": 1, "v": 1, "(": 8, "{": 8}
_CLOSING = {"(": ")", "{": "}"}
#: bytes before the header fields' end: order, type, flags, version, body's length, serial, fields' length
FIXED_HEADER = 16
_VERSION = 1
#: systemd's answers have some hundred bytes; the specification's limit is 128 MiB
LARGEST = 1 << 20


class Variant(NamedTuple):
    """A value that says its own type."""

    signature: str
    value: object


class Message(NamedTuple):
    """A message as read; `fields` are the header's, by number."""

    kind: int
    serial: int
    fields: dict[int, object]
    body: tuple[object, ...]


def split(signature: str) -> tuple[str, ...]:
    """Cut a signature into its complete types; HostError where it is none."""
    types: list[str] = []
    start = 0
    while start < len(signature):
        end = _end(signature, start)
        types.append(signature[start:end])
        start = end
    return tuple(types)


def _end(signature: str, at: int) -> int:
    """Find the end of the complete type that begins here."""
    letter = signature[at : at + 1]
    if letter == "a":
        return _end(signature, at + 1)
    if letter in _CLOSING:
        end = at + 1
        while signature[end : end + 1] != _CLOSING[letter]:
            end = _end(signature, end)
        return end + 1
    if not letter or (letter not in _FIXED and letter not in _ALIGNMENT):
        raise HostError(f"D-Bus: signature {signature!r} is malformed")
    return at + 1


def call(
    serial: int,
    fields: Iterable[tuple[int, str]],
    signature: str = "",
    values: Iterable[object] = (),
) -> bytes:
    """Encode a method call; the header's signature is added to the fields."""
    body = _Writer()
    for kind, value in zip(split(signature), values, strict=True):
        body.put(kind, value)
    given = [*fields, (SIGNATURE, signature)] if signature else [*fields]
    header = _Writer()
    for kind, value in zip(
        "yyyyuu", (ord("l"), CALL, 0, _VERSION, len(body.out), serial), strict=True
    ):
        header.put(kind, value)
    header.put("a(yv)", [(code, Variant(_FIELD_TYPES[code], value)) for code, value in given])
    header.align(8)
    return bytes(header.out + body.out)


def size(start: bytes) -> int:
    """Tell the size of a whole message by its first FIXED_HEADER bytes; HostError where it is none."""
    order = _order(start)
    (body,) = struct.unpack_from(f"{order}I", start, 4)
    (fields,) = struct.unpack_from(f"{order}I", start, 12)
    whole: int = FIXED_HEADER + fields + (-fields % 8) + body
    if start[3] != _VERSION or whole > LARGEST:
        raise HostError("D-Bus: what came is no message, or too large a one")
    return whole


def parse(message: bytes) -> Message:
    """Decode a whole message; HostError where it is malformed."""
    reader = _Reader(message, _order(message))
    try:
        _, kind, _, _, _, serial = (reader.take(letter) for letter in "yyyyuu")
        entries = cast("list[tuple[int, Variant]]", reader.take("a(yv)"))
        fields = {code: variant.value for code, variant in entries}
        reader.align(8)
        signature = fields.get(SIGNATURE, "")
        body = (
            tuple(reader.take(one) for one in split(signature))
            if isinstance(signature, str)
            else ()
        )
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise HostError(f"D-Bus: a malformed message: {error}") from None
    assert isinstance(kind, int)
    assert isinstance(serial, int)
    return Message(kind, serial, fields, body)


def _order(message: bytes) -> str:
    match message[:1]:
        case b"l":
            return "<"
        case b"B":
            return ">"
        case _:
            raise HostError("D-Bus: what came is no message")


def _alignment(kind: str) -> int:
    letter = kind[0]
    return struct.calcsize(_FIXED[letter]) if letter in _FIXED else _ALIGNMENT[letter]


class _Writer:
    """Marshals in little-endian order."""

    def __init__(self) -> None:
        self.out = bytearray()

    def align(self, boundary: int) -> None:
        self.out += bytes(-len(self.out) % boundary)

    def put(self, kind: str, value: object) -> None:
        """Append a value of one complete type."""
        self.align(_alignment(kind))
        letter = kind[0]
        if letter in _FIXED:
            self.out += struct.pack(f"<{_FIXED[letter]}", value)
        elif letter in "so":
            raw = str(value).encode()
            self.out += struct.pack("<I", len(raw)) + raw + b"\0"
        elif letter == "g":
            raw = str(value).encode()
            self.out += bytes((len(raw),)) + raw + b"\0"
        else:
            self._put_container(kind, value)

    def _put_container(self, kind: str, value: object) -> None:
        letter = kind[0]
        if letter == "v" and isinstance(value, Variant):
            self.put("g", value.signature)
            self.put(value.signature, value.value)
        elif letter == "a" and isinstance(value, list | tuple | bytes):
            self._put_array(kind[1:], cast("Iterable[object]", value))
        elif letter in _CLOSING and isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            for one, item in zip(split(kind[1:-1]), items, strict=True):
                self.put(one, item)
        else:
            raise TypeError(f"{value!r} is no D-Bus {kind!r}")

    def _put_array(self, element: str, values: Iterable[object]) -> None:
        place = len(self.out)
        self.out += bytes(4)
        self.align(_alignment(element))
        start = len(self.out)
        for value in values:
            self.put(element, value)
        struct.pack_into("<I", self.out, place, len(self.out) - start)


class _Reader:
    """Unmarshals: arrays as lists, structs and dictionaries' entries as tuples."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._at = 0

    def align(self, boundary: int) -> None:
        self._at += -self._at % boundary

    def take(self, kind: str) -> object:
        """Read a value of one complete type."""
        self.align(_alignment(kind))
        letter = kind[0]
        if letter in _FIXED:
            return self._fixed(_FIXED[letter])
        if letter in "so":
            return self._text(self._fixed("I"))
        if letter == "g":
            return self._text(self._fixed("B"))
        if letter == "v":
            signature = str(self.take("g"))
            (one,) = split(signature) or ("y",)
            return Variant(signature, self.take(one))
        if letter == "a":
            return list(self._elements(kind[1:]))
        return tuple(self.take(one) for one in split(kind[1:-1]))

    def _fixed(self, letter: str) -> int:
        code = f"{self._order}{letter}"
        (value,) = struct.unpack_from(code, self._data, self._at)
        self._at += struct.calcsize(code)
        return value  # type: ignore[no-any-return] # what struct gives is untyped

    def _text(self, length: int) -> str:
        end = self._at + length
        if end >= len(self._data):
            raise IndexError("a text reaches beyond the end")
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def _elements(self, kind: str) -> Iterator[object]:
        length = self._fixed("I")
        self.align(_alignment(kind))
        end = self._at + length
        if end > len(self._data):
            raise IndexError("an array reaches beyond the end")
        while self._at < end:
            yield self.take(kind)
