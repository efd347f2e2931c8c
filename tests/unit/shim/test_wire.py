from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim import messages
from wasmimg_shim.protobuf import MalformedMessage, encode_field
from wasmimg_shim.wire import decode, encode

text = st.text(max_size=20)
mounts = st.builds(messages.Mount, text, text, text, st.lists(text, max_size=3).map(tuple))
anys = st.none() | st.builds(messages.Any, text, st.binary(max_size=20))
creates = st.builds(
    messages.CreateTaskRequest,
    id=text,
    bundle=text,
    rootfs=st.lists(mounts, max_size=3).map(tuple),
    terminal=st.booleans(),
    stdin=text,
    options=anys,
)


@given(creates)
def test_a_message_comes_back(message: messages.CreateTaskRequest) -> None:
    assert decode(messages.CreateTaskRequest, encode(message)) == message


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_signed_numbers_come_back(seconds: int, nanos: int) -> None:
    stamp = messages.Timestamp(seconds, nanos)
    assert decode(messages.Timestamp, encode(stamp)) == stamp


def test_the_delete_response_of_the_specification() -> None:
    assert encode(messages.DeleteResponse(exit_status=137)).hex() == "108901"


def test_an_empty_message_in_a_field_is_not_a_missing_one() -> None:
    data = encode(messages.Envelope(timestamp=messages.Timestamp()))
    assert data.hex() == "0a00"
    assert decode(messages.Envelope, data).timestamp == messages.Timestamp()
    assert decode(messages.Envelope, b"").timestamp is None


def test_unknown_fields_are_skipped() -> None:
    data = encode_field(99, "later") + encode(messages.ProcessRequest("c1"))
    assert decode(messages.ProcessRequest, data) == messages.ProcessRequest("c1")


@pytest.mark.parametrize("data", ["0801", "1a00"])
def test_a_field_of_another_wire_type_is_malformed(data: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(messages.StateResponse, bytes.fromhex(data))


@given(st.binary(max_size=64))
def test_any_bytes_are_either_a_message_or_malformed(data: bytes) -> None:
    try:
        message = decode(messages.CreateTaskRequest, data)
    except MalformedMessage:
        return
    assert isinstance(message, messages.CreateTaskRequest)


def test_times_are_split_at_the_second() -> None:
    assert messages.Timestamp.of(1_500_000_002) == messages.Timestamp(1, 500_000_002)
