"""Whatever a guest passes, it gets an errno, its own end or a trap: never a fault of the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wasmimg_shim.guest import Guest, Preopen
from wasmimg_shim.wasi import errno, fdtable
from wasmimg_shim.wasi.function import Exit, Trap
from wasmimg_testing.wasi import MEMORY, Stage, Trapped

INTERFACE = (Path(__file__).parents[3] / "guests/interface.txt").read_text().split("\n")
FUNCTIONS = [tuple(line.partition("->")[0].split(" ")) for line in INTERFACE if line]
I32 = st.one_of(
    st.integers(0, 10),
    st.sampled_from([16, 64, 128, 1024, MEMORY - 8, MEMORY - 1, MEMORY, 1 << 31, (1 << 32) - 1]),
    st.integers(0, (1 << 32) - 1),
)
I64 = st.sampled_from([0, 1, 2, 8, 1 << 31, 1 << 62, 1 << 63, (1 << 63) - 1, (1 << 64) - 1])
#: addresses, lengths, names and numbers that mean something at some place
CONTENT = (
    bytes(64)
    + b"f\0\0\0\0\0\0\0" + (1).to_bytes(4, "little") * 4
    + (128).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"../f"
    + b"\xff" * 16 + bytes((127, 0, 0, 1)) + b"d/../f"
)  # fmt: skip


def call_of(function: tuple[str, ...]) -> st.SearchStrategy[tuple[str, list[int]]]:
    name, letters = function
    arguments = st.tuples(*(I32 if letter == "i" else I64 for letter in letters))
    return st.tuples(st.just(name), arguments.map(list))


CALLS = st.lists(st.sampled_from(FUNCTIONS).flatmap(call_of), min_size=1, max_size=30)


def prepare(stage: Stage) -> None:
    """Give memory its content, and let nothing block: subscriptions are clocks that are due."""
    stage.memory[:] = bytes(MEMORY)
    stage.memory[64 : 64 + len(CONTENT)] = CONTENT
    for descriptor in stage.world._table.open.values():
        if descriptor.kind in {fdtable.SOCKET_DGRAM, fdtable.SOCKET_STREAM}:
            os.set_blocking(descriptor.host, False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS)
def test_every_call_ends_as_it_should(tmp_path: Path, calls: list[tuple[str, list[int]]]) -> None:
    preopens = (
        Preopen("/", str(tmp_path)),
        Preopen("/ro", str(tmp_path), writable=False),
    )
    stage = Stage(Guest(("t", "x"), ("A=1",), preopens=preopens))
    stage.open()
    stage.open_path(3, "f", oflags=1)
    try:
        for name, arguments in calls:
            prepare(stage)
            if name in {"poll_oneoff", "epoll_oneoff"}:
                arguments[0] = MEMORY // 2  # clocks that are due; elsewhere it might wait for ever
                arguments[2] = arguments[2] % 64
            try:
                assert 0 <= stage.call(name, *arguments) <= errno.AISYSTEM
            except Trapped as trapped:
                assert isinstance(trapped.__cause__, Exit | Trap), (name, arguments)
            assert len(stage.memory) == MEMORY
    finally:
        for fd in list(stage.world._table.open):
            stage.call("fd_close", fd)


@pytest.mark.parametrize("function", FUNCTIONS, ids="-".join)
def test_all_pointers_wild(tmp_path: Path, function: tuple[str, ...]) -> None:
    stage = Stage(Guest(("t",), preopens=(Preopen("/", str(tmp_path)),))).open()
    name, letters = function
    for value in (MEMORY - 1, MEMORY, (1 << 32) - 4, (1 << 32) - 1):
        try:
            number = stage.call(name, *([3, *[value] * len(letters)][: len(letters)]))
            assert 0 <= number <= errno.AISYSTEM
        except Trapped as trapped:
            assert isinstance(trapped.__cause__, Exit | Trap)
    for fd in list(stage.world._table.open):
        stage.call("fd_close", fd)
