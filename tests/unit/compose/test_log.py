"""Logs read as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wasmimg_compose import log


def read(path: Path, tail: int | None = None) -> bytes:
    return b"".join(log.chunks(path, tail=tail))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"x" * 40000]), max_size=12), st.integers(0, 9)
)
def test_the_last_lines_are_the_last_lines(tmp_path: Path, parts: list[bytes], tail: int) -> None:
    content = b"".join(parts)
    path = tmp_path / "log"
    path.write_bytes(content)
    lines = content.splitlines(keepends=True)
    assert read(path, tail) == b"".join(lines[max(0, len(lines) - tail) :])
    assert read(path) == content


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == b""


def test_following_ends_with_what_came_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    looks = iter([True, True, False])

    def runs() -> bool:
        with path.open("ab") as file:
            file.write(b"more\n")
        return next(looks)

    assert b"".join(log.chunks(path, follow=runs)) == b"one\nmore\nmore\nmore\n"


@pytest.mark.parametrize("tail", [0, 1, 5])
def test_a_tail_of_an_empty_log(tmp_path: Path, tail: int) -> None:
    (tmp_path / "log").touch()
    assert read(tmp_path / "log", tail) == b""
