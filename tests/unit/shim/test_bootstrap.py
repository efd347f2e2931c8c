"""The start verb's input and output, as each containerd writes and reads them.

Where a containerd can't be had, its reading is put down here from its source: 1.6 (runtime/v2/binary.go),
1.7 to 2.2 (core/runtime/v2/shim.go, parseStartResponse), 2.3 (the same with BootstrapResult before it).
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim import bootstrap, messages
from wasmimg_shim.bootstrap import BootstrapParams, Extension
from wasmimg_shim.protobuf import MalformedMessage, decode_fields
from wasmimg_shim.wire import encode

ADDRESS = "unix:///run/containerd/s/" + 64 * "a"
OPTIONS = messages.Any("runtimeoptions.v1.Options", b"\x0a\x01a")
PARAMS = BootstrapParams(
    "c1",
    "moby",
    -4,
    "2.3.0",
    "/run/containerd/containerd.sock.ttrpc",
    "/run/containerd/containerd.sock",
    "/usr/bin/containerd",
    (Extension(OPTIONS),),
)


class Heard(NamedTuple):
    """What a containerd makes of an answer."""

    version: int
    protocol: str
    address: str


def text_only(answer: bytes) -> Heard:
    """1.6: whatever it is, it is the address."""
    return Heard(2, "ttrpc", answer.strip().decode())


def json_or_text(answer: bytes) -> Heard:
    """1.7 to 2.2: JSON with a version of at least 2, else an address."""
    stripped = answer.strip()
    try:
        document: dict[str, object] = json.loads(stripped)
    except ValueError:
        return text_only(answer)
    return Heard(int(str(document["version"])), str(document["protocol"]), str(document["address"]))


def protobuf_first(answer: bytes) -> Heard:
    """2.3: BootstrapResult, else as before."""
    try:
        fields = {number: value for number, _, value in decode_fields(answer)}
        version, address, protocol = fields[1], fields[2], fields[3]
    except (MalformedMessage, KeyError):
        return json_or_text(answer)
    assert isinstance(version, int)
    assert isinstance(address, bytes)
    assert isinstance(protocol, bytes)
    return Heard(version, protocol.decode(), address.decode())


@pytest.mark.parametrize(
    ("stdin", "readers"),
    [
        pytest.param(b"", [text_only, json_or_text, protobuf_first], id="nothing"),
        pytest.param(encode(OPTIONS), [text_only, json_or_text, protobuf_first], id="options"),
        pytest.param(encode(PARAMS), [protobuf_first], id="2.3"),
        pytest.param(encode(PARAMS._replace(extensions=())), [protobuf_first], id="2.3-plain"),
    ],
)
def test_who_asks_understands_the_answer(stdin: bytes, readers: list[object]) -> None:
    answer = bootstrap.answer(bootstrap.parse(stdin, "c1", "moby"), ADDRESS)
    for reader in readers:
        assert callable(reader)
        assert reader(answer) == Heard(2, "ttrpc", ADDRESS)


def test_the_answer_to_2_3_byte_by_byte() -> None:
    answer = bootstrap.answer(PARAMS, ADDRESS)
    assert answer == b"\x08\x02\x12\x59" + ADDRESS.encode() + b"\x1a\x05ttrpc"
    assert answer.strip() == answer, "containerd trims white space off answers"


def test_params_as_2_3_sends_them_byte_by_byte() -> None:
    stdin = (
        b"\x0a\x02c1" b"\x12\x04moby" b"\x18\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        b"\x22\x052.3.0" b"\x2a\x02/t" b"\x32\x02/g" b"\x3a\x02/c"
        b"\x42\x09\x0a\x07\x0a\x01u\x12\x02ab" b"\x4a\x02/s"
    )  # fmt: skip
    params = bootstrap.parse(stdin, "c1", "moby")
    assert params == BootstrapParams(
        *("c1", "moby", -4, "2.3.0", "/t", "/g", "/c"),
        extensions=(Extension(messages.Any("u", b"ab")),),
        socket_dir="/s",
    )


def test_options_are_not_taken_for_params() -> None:
    assert bootstrap.parse(encode(PARAMS), "c1", "moby") == PARAMS
    assert bootstrap.parse(encode(PARAMS), "c2", "moby") == BootstrapParams()
    assert bootstrap.parse(encode(PARAMS), "c1", "k8s.io") == BootstrapParams()
    # field 1 is a text in both messages
    odd = messages.Any("c1", b"moby")
    assert bootstrap.parse(encode(odd), "c1", "ns") == BootstrapParams()


@given(st.binary())
def test_no_input_is_too_odd(stdin: bytes) -> None:
    assert bootstrap.parse(stdin, "c1", "moby").instance_id in {"", "c1"}


def test_random_input_is_answered_with_the_address() -> None:
    params = bootstrap.parse(os.urandom(4096), "c1", "moby")
    assert bootstrap.answer(params, ADDRESS) == ADDRESS.encode()
