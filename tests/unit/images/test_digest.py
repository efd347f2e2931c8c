from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.digest import Digest, VerifiedReader
from wasmimg_images.errors import DigestMismatch, InvalidInput

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_digest_of_nothing_is_the_known_one() -> None:
    assert str(Digest.of(b"")) == EMPTY
    assert Digest.parse(EMPTY) == Digest.of(b"")
    assert Digest.of(b"").short == "e3b0c44298fc"


@pytest.mark.parametrize(
    "text",
    [
        *("", "sha256", "sha256:", ":abc", f"md5:{'a' * 32}", EMPTY.upper(), EMPTY[:-1]),
        *(f"{EMPTY}0", f"sha256:{'g' * 64}", f"sha256:../{'a' * 61}", f"sha512:{'a' * 64}"),
        f" {EMPTY}",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Digest.parse(text)


@given(st.sampled_from([("sha256", 64), ("sha512", 128)]), st.data())
def test_a_digest_round_trips(kind: tuple[str, int], data: st.DataObject) -> None:
    digits = data.draw(st.text("0123456789abcdef", min_size=kind[1], max_size=kind[1]))
    assert str(Digest.parse(f"{kind[0]}:{digits}")) == f"{kind[0]}:{digits}"


class Trickle:
    """A source that gives a few bytes at a time, as sockets do."""

    def __init__(self, data: bytes, step: int) -> None:
        self._stream, self._step = io.BytesIO(data), step

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._step))


@given(st.binary(max_size=200), st.integers(1, 50), st.integers(1, 300))
def test_good_content_comes_through_in_any_portions(data: bytes, step: int, ask: int) -> None:
    reader = VerifiedReader(Trickle(data, step), Digest.of(data), len(data))
    found = b""
    while portion := reader.read(ask):
        found += portion
    assert found == data


@given(st.binary(min_size=1, max_size=100), st.data())
def test_changed_cut_or_longer_content_never_reaches_its_end(
    data: bytes, draw: st.DataObject
) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for bad in (changed, data[:at], data + b"x"):
        with pytest.raises(DigestMismatch):
            VerifiedReader(io.BytesIO(bad), Digest.of(data), len(data)).finish()


def test_the_last_bytes_of_bad_content_are_never_given() -> None:
    reader = VerifiedReader(io.BytesIO(b"evil"), Digest.of(b"good"), 4)
    with pytest.raises(DigestMismatch):
        reader.read(4)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidInput):
        VerifiedReader(io.BytesIO(b""), Digest.of(b""), -1)


@pytest.mark.parametrize("owns", [True, False])
def test_closing_closes_a_source_that_is_owned(owns: bool) -> None:
    source = io.BytesIO(b"")
    VerifiedReader(source, Digest.of(b""), 0, owns=owns).close()
    assert source.closed == owns
