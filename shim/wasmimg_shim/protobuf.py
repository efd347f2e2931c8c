"""Protocol Buffers' wire format, both ways: https://protobuf.dev/programming-guides/encoding/.

Only the wire: which fields a message has is said in `messages`. The start verb imports this module,
so it needs nothing but the interpreter's own types.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_VARINT_BYTES_MAX = 10
_PAYLOAD = 0x7F
_MORE = 0x80
_SIGN_BIT = 1 << 63
_WORD = 1 << 64


class MalformedMessage(ValueError):
    """The bytes are no Protocol Buffers message."""


def encode_varint(value: int) -> bytes:
    """Encode an integer of -2**63 to 2**64 - 1; negative ones as 64-bit two's complement."""
    if value < 0:
        value += _WORD
    if not 0 <= value < _WORD:
        raise ValueError(f"{value} does not fit in 64 bits")
    out = bytearray()
    while value > _PAYLOAD:
        out.append(value & _PAYLOAD | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned integer that begins at `at`, and where it ends."""
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise MalformedMessage("a varint is cut off")
        byte = data[at + index]
        value |= (byte & _PAYLOAD) << (7 * index)
        if byte < _MORE:
            return value % _WORD, at + index + 1
    raise MalformedMessage("a varint is longer than 10 bytes")


def signed(value: int) -> int:
    """Read an unsigned 64-bit value as int32 or int64 (both are sent with 64 bits)."""
    return value - _WORD if value & _SIGN_BIT else value


def encode_field(number: int, value: int | str | bytes) -> bytes:
    """Encode one field: integers as varints, text and bytes with their length in front."""
    match value:
        case int():
            return encode_varint(number << 3 | VARINT) + encode_varint(value)
        case str():
            value = value.encode("utf-8", "surrogateescape")
        case _:
            pass
    return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value


def decode_fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield (field number, wire type, value) in the order of the bytes.

    Fixed-width values come as their bytes. Groups are refused: no message of ours has any.
    """
    at = 0
    while at < len(data):
        tag, at = decode_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise MalformedMessage("field number 0")
        if wire == VARINT:
            value, at = decode_varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = decode_varint(data, at)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise MalformedMessage(f"wire type {wire} of field {number}")
        if size > len(data) - at:
            raise MalformedMessage(f"field {number} is cut off")
        yield number, wire, data[at : at + size]
        at += size
