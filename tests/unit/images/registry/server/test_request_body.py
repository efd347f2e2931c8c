from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.registry.server.reply import Problem
from wasmimg_images.registry.server.request_body import Broken, RequestBody

CHUNKED = {"transfer-encoding": "chunked"}
NEXT = b"GET / HTTP/1.1\r\n"


def body(data: bytes, headers: dict[str, str]) -> tuple[RequestBody, io.BufferedIOBase]:
    wire: io.BufferedIOBase = io.BytesIO(data)
    return RequestBody(wire, headers), wire


def whole(reader: RequestBody, step: int) -> bytes:
    return b"".join(iter(lambda: reader.read(step), b""))


@given(st.binary(max_size=300), st.integers(1, 400))
def test_a_length_is_kept_to(data: bytes, step: int) -> None:
    reader, wire = body(data + NEXT, {"content-length": str(len(data))})
    assert whole(reader, step) == data
    assert reader.ended
    assert wire.read() == NEXT


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 80), st.booleans())
def test_chunks_are_joined(chunks: list[bytes], step: int, extras: bool) -> None:
    extension, trailer = (b";a=b", b"x: y\r\n") if extras else (b"", b"")
    data = b"".join(b"%X%s\r\n%s\r\n" % (len(c), extension, c) for c in chunks)
    reader, wire = body(data + b"0\r\n" + trailer + b"\r\n" + NEXT, CHUNKED)
    assert whole(reader, step) == b"".join(chunks)
    assert reader.ended
    assert wire.read() == NEXT


@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_broken(data: bytes) -> None:
    reader, _ = body(data, CHUNKED)
    try:
        found = whole(reader, 16)
    except Broken:
        return
    assert len(found) < len(data)


def test_no_header_means_no_body() -> None:
    reader, _ = body(NEXT, {})
    assert (reader.ended, reader.length, reader.read(9)) == (True, 0, b"")


def test_a_body_that_is_too_short_is_broken() -> None:
    reader, _ = body(b"abc", {"content-length": "4"})
    assert reader.read(9) == b"abc"
    with pytest.raises(Broken):
        reader.read(9)


@pytest.mark.parametrize(
    "headers",
    [
        {"transfer-encoding": "chunked", "content-length": "3"},
        {"transfer-encoding": "gzip"},
        {"content-length": "-1"},
        {"content-length": "1, 1"},
        {"content-length": "\u0663"},
    ],
)
def test_headers_that_could_be_read_in_two_ways(headers: dict[str, str]) -> None:
    with pytest.raises(Problem):
        body(b"", headers)
