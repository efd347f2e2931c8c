"""Messages to bytes and back, led by the annotations of their classes.

The nth field of a class has field number n (the rule of `messages`). Types: int (any varint), bool,
str, bytes, another message or `Message | None`, and `tuple[T, ...]` for repeated fields.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from wasmimg_shim import protobuf

M = TypeVar("M", bound=tuple[object, ...])


class _Field(NamedTuple):
    name: str
    kind: type
    repeated: bool


@cache
def _fields(message: type[M]) -> dict[int, _Field]:
    hints = get_type_hints(message)
    names = cast("tuple[str, ...]", message._fields)  # type: ignore[attr-defined]  # a NamedTuple
    fields: dict[int, _Field] = {}
    for number, name in enumerate(names, 1):
        hint = hints[name]
        repeated = get_origin(hint) is tuple
        if repeated or isinstance(hint, UnionType):
            hint = next(arg for arg in get_args(hint) if arg not in {NoneType, Ellipsis})
        fields[number] = _Field(name, hint, repeated)
    return fields


def encode(message: tuple[object, ...]) -> bytes:
    """Encode a message; fields that have their default value are left out."""
    out = bytearray()
    for (number, field), value in zip(_fields(type(message)).items(), message, strict=True):
        items = cast("tuple[object, ...]", value) if field.repeated else (value,)
        for item in items:
            if field.repeated or item:
                out += protobuf.encode_field(number, _wire(item))
            elif isinstance(item, tuple):
                out += protobuf.encode_field(number, b"")
    return bytes(out)


def _wire(value: object) -> int | str | bytes:
    match value:
        case tuple():
            return encode(cast("tuple[object, ...]", value))
        case int() | str() | bytes():
            return value
        case _:
            raise TypeError(f"{type(value).__name__} is no field's type")


def decode(message: type[M], data: bytes) -> M:
    """Decode a message, skipping fields it doesn't have; raises protobuf.MalformedMessage."""
    fields = _fields(message)
    values: dict[str, object] = {}
    for number, wire, raw in protobuf.decode_fields(data):
        field = fields.get(number)
        if field is None:
            continue
        value = _value(field, wire, raw)
        if field.repeated:
            value = (*cast("tuple[object, ...]", values.get(field.name, ())), value)
        values[field.name] = value
    return message(**values)


def _value(field: _Field, wire: int, raw: int | bytes) -> object:
    """Give a field's value its Python type."""
    number_wanted = issubclass(field.kind, int)
    if number_wanted != (wire == protobuf.VARINT) or (not number_wanted and wire != protobuf.BYTES):
        raise protobuf.MalformedMessage(f"{field.name} has wire type {wire}")
    match raw:
        case int() if field.kind is bool:
            return bool(raw)
        case int():
            return protobuf.signed(raw)
        case bytes() if field.kind is bytes:
            return raw
        case bytes() if field.kind is str:
            return raw.decode("utf-8", "surrogateescape")
        case bytes():
            return decode(cast("type[tuple[object, ...]]", field.kind), raw)
