"""What init tells its parent."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from wasmimg_images import errors
from wasmimg_shim import report
from wasmimg_shim.report import FAMILIES, SandboxError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


def test_ready(pipe: tuple[int, int]) -> None:
    report.write_ready(pipe[1])
    report.read(pipe[0])


def test_no_answer_yet(pipe: tuple[int, int]) -> None:
    with pytest.raises(BlockingIOError):
        report.read(pipe[0])


def test_death_without_an_answer() -> None:
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(SandboxError, match="died before it was ready"):
        report.read(read)
    os.close(read)


def test_a_system_calls_failure_keeps_its_number_and_path(pipe: tuple[int, int]) -> None:
    report.write_failure(pipe[1], "mounts", FileNotFoundError(2, "No such file", "/a"))
    with pytest.raises(SandboxError) as caught:
        report.read(pipe[0])
    assert (caught.value.message, caught.value.errno) == ("mounts: /a: No such file", 2)


@pytest.mark.parametrize("family", FAMILIES.values())
def test_an_error_of_ours_stays_itself(
    pipe: tuple[int, int], family: type[errors.WasmimgError]
) -> None:
    report.write_failure(pipe[1], "load", family("/app.wasm: broken", hint="mend it"))
    with pytest.raises(family) as caught:
        report.read(pipe[0])
    assert (caught.value.message, caught.value.hint) == ("/app.wasm: broken", "mend it")


def test_any_other_error_is_a_run_error(pipe: tuple[int, int]) -> None:
    report.write_failure(pipe[1], "load", KeyError("x"))
    with pytest.raises(errors.RunError, match="load: KeyError: 'x'"):
        report.read(pipe[0])


def test_a_long_message_is_cut_so_that_it_arrives_whole(pipe: tuple[int, int]) -> None:
    report.write_failure(pipe[1], "load", OSError(5, "ü" * 5000))
    with pytest.raises(SandboxError) as caught:
        report.read(pipe[0])
    assert caught.value.errno == 5
