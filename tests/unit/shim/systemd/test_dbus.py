"""D-Bus messages: known bytes, and whatever can be said comes back as it was."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import HostError
from wasmimg_shim.systemd import dbus
from wasmimg_shim.systemd.dbus import Variant

FIELDS = ((dbus.PATH, "/a"), (dbus.MEMBER, "Do"))
BASIC = {
    "y": st.integers(0, 255),
    "b": st.integers(0, 1),
    "n": st.integers(-(1 << 15), (1 << 15) - 1),
    "q": st.integers(0, (1 << 16) - 1),
    "i": st.integers(-(1 << 31), (1 << 31) - 1),
    "u": st.integers(0, (1 << 32) - 1),
    "x": st.integers(-(1 << 63), (1 << 63) - 1),
    "t": st.integers(0, (1 << 64) - 1),
    "d": st.floats(allow_nan=False),
    "s": st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")),
}
Typed = tuple[str, st.SearchStrategy[object]]


def _in_array(typed: Typed) -> Typed:
    kind, values = typed
    return f"a{kind}", st.lists(values, max_size=4)


def _in_struct(typed: list[Typed]) -> Typed:
    return f"({''.join(k for k, _ in typed)})", st.tuples(*(values for _, values in typed))


def _in_variant(typed: Typed) -> Typed:
    kind, values = typed
    return "v", values.map(lambda value: Variant(kind, value))


def _containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    structs = st.lists(inner, min_size=1, max_size=3).map(_in_struct)
    return inner.map(_in_array) | structs | inner.map(_in_variant)


TYPED = st.recursive(st.sampled_from(list(BASIC.items())), _containers, max_leaves=6)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, tuple[object, ...]]:
    typed = draw(st.lists(TYPED, max_size=4))
    return "".join(kind for kind, _ in typed), tuple(draw(values) for _, values in typed)


@given(body=bodies(), serial=st.integers(1, (1 << 32) - 1))
def test_what_is_said_is_heard(body: tuple[str, tuple[object, ...]], serial: int) -> None:
    signature, values = body
    message = dbus.call(serial, FIELDS, signature, values)
    assert dbus.size(message[: dbus.FIXED_HEADER]) == len(message)
    heard = dbus.parse(message)
    assert (heard.kind, heard.serial, heard.body) == (dbus.CALL, serial, values)
    assert heard.fields.get(dbus.SIGNATURE, "") == signature
    assert heard.fields[dbus.PATH] == "/a"


@given(body=bodies(), data=st.data())
def test_a_damaged_message_is_read_or_refused(
    body: tuple[str, tuple[object, ...]], data: st.DataObject
) -> None:
    message = bytearray(dbus.call(1, FIELDS, *body))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    with contextlib.suppress(HostError):
        dbus.parse(bytes(message[:cut] if data.draw(st.booleans()) else message))


def test_the_bytes_are_the_specifications() -> None:
    fields = (
        b"\1\1o\0\2\0\0\0/a\0" + bytes(5)
        + b"\3\1s\0\2\0\0\0Do\0" + bytes(5)
        + b"\x08\1g\0\2us\0"
    )  # fmt: skip
    body = struct.pack("<II", 1, 1) + b"x\0"
    header = b"l\1\0\1" + struct.pack("<III", len(body), 7, len(fields)) + fields
    assert dbus.call(7, FIELDS, "us", (1, "x")) == header + bytes(-len(header) % 8) + body


def test_the_other_byte_order_is_read() -> None:
    fields = b"\5\1u\0" + struct.pack(">I", 9)
    message = b"B\2\1\1" + struct.pack(">III", 0, 3, len(fields)) + fields
    assert dbus.parse(message) == dbus.Message(dbus.REPLY, 3, {dbus.REPLY_SERIAL: 9}, ())


@pytest.mark.parametrize("signature", ["a", "(s", "(s}", "{", "z", "aaa"])
def test_a_malformed_signature_is_refused(signature: str) -> None:
    with pytest.raises(HostError, match="malformed"):
        dbus.split(signature)


@pytest.mark.parametrize("start", [bytes(16), b"l\2\1\2" + bytes(12), b"l\2\1\1" + b"\xff" * 12])
def test_what_is_no_message_is_refused(start: bytes) -> None:
    with pytest.raises(HostError, match="no message"):
        dbus.size(start)
