from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim import protobuf
from wasmimg_shim.protobuf import MalformedMessage


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_varints_come_back(value: int) -> None:
    data = protobuf.encode_varint(value)
    raw, end = protobuf.decode_varint(data, 0)
    assert (protobuf.signed(raw), end) == (value, len(data))


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (-1, "ffffffffffffffffff01")],
)
def test_varints_of_the_specification(value: int, data: str) -> None:
    assert protobuf.encode_varint(value).hex() == data


def test_a_value_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        protobuf.encode_varint(2**64)


@given(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary() | st.text())
def test_fields_come_back(number: int, value: int | bytes | str) -> None:
    ((found, _, raw),) = protobuf.decode_fields(protobuf.encode_field(number, value))
    assert found == number
    assert raw == (value.encode() if isinstance(value, str) else value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("80", "cut off"),
        ("ffffffffffffffffffffff01", "longer than 10"),
        ("0a05616263", "field 1 is cut off"),
        ("0affffffff0f", "field 1 is cut off"),
        ("0d0000", "field 1 is cut off"),
        ("0b", "wire type 3 of field 1"),
        ("0000", "field number 0"),
    ],
)
def test_malformed_bytes_are_told(data: str, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        list(protobuf.decode_fields(bytes.fromhex(data)))


@given(st.binary(max_size=64))
def test_any_bytes_are_either_fields_or_malformed(data: bytes) -> None:
    try:
        fields = list(protobuf.decode_fields(data))
    except MalformedMessage:
        return
    assert all(number > 0 for number, _, _ in fields)


def test_fixed_width_fields_are_passed_over() -> None:
    data = bytes.fromhex("0d010203041101020304050607081801")
    assert [number for number, _, _ in protobuf.decode_fields(data)] == [1, 2, 3]
