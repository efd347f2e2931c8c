from __future__ import annotations

import signal
import time

import pytest

from wasmimg_shim.guest import Guest
from wasmimg_shim.wasi import errno
from wasmimg_shim.wasi.function import Exit
from wasmimg_shim.wasi.process import SIGNALS
from wasmimg_testing.wasi import MEMORY, Stage, Trapped


def strings(stage: Stage, what: str) -> list[bytes]:
    count, size = stage.room(), stage.room()
    stage.ok(f"{what}_sizes_get", count, size)
    pointers, buffer = stage.room(4 * stage.u32(count)), stage.room(stage.u32(size))
    stage.ok(f"{what}_get", pointers, buffer)
    end = buffer + stage.u32(size)
    found = []
    for index in range(stage.u32(count)):
        at = stage.u32(pointers + 4 * index)
        found.append(bytes(stage.memory[at : stage.memory.index(0, at, end)]))
    return found


def test_arguments_and_environment_arrive_whole() -> None:
    stage = Stage(Guest(("a.wasm", "", "ü b"), ("A=1", "EMPTY="), cwd="/srv"))
    assert strings(stage, "args") == [b"a.wasm", b"", "ü b".encode()]
    assert strings(stage, "environ") == [b"A=1", b"EMPTY=", b"PWD=/srv"]


def test_a_given_pwd_stays() -> None:
    assert strings(Stage(Guest(("x",), ("PWD=/here",))), "environ") == [b"PWD=/here"]


def test_a_guest_without_arguments() -> None:
    assert strings(Stage(Guest(())), "args") == []


def test_random_bytes_fill_exactly_what_was_asked_for() -> None:
    stage = Stage()
    at = stage.room(64)
    stage.ok("random_get", at, 32)
    assert any(stage.memory[at : at + 32])
    assert not any(stage.memory[at + 32 : at + 64])
    assert stage.call("random_get", MEMORY - 4, 5) == errno.FAULT


@pytest.mark.parametrize("clock", range(4))
def test_clocks_agree_with_the_hosts(clock: int) -> None:
    stage = Stage()
    at, resolution = stage.room(), stage.room()
    stage.ok("clock_res_get", clock, resolution)
    assert 1 <= stage.u64(resolution) <= 10_000_000
    before = time.clock_gettime_ns([0, 1, 2, 3][clock])
    stage.ok("clock_time_get", clock, 0, at)
    assert before <= stage.u64(at) <= time.clock_gettime_ns([0, 1, 2, 3][clock])


def test_an_unknown_clock() -> None:
    stage = Stage()
    assert stage.call("clock_time_get", 4, 0, stage.room()) == errno.INVAL
    assert stage.call("clock_res_get", 4, stage.room()) == errno.INVAL


@pytest.mark.parametrize(("given", "status"), [(0, 0), (7, 7), (256, 0), (0xFFFF_FFFF, 255)])
def test_exit_keeps_the_low_eight_bits(given: int, status: int) -> None:
    with pytest.raises(Trapped) as caught:
        Stage().call("proc_exit", given)
    assert isinstance(caught.value.__cause__, Exit)
    assert caught.value.__cause__.status == status


def test_a_raised_signal_has_its_default_action() -> None:
    stage = Stage()
    with pytest.raises(Trapped) as caught:
        stage.call("proc_raise", SIGNALS.index(signal.SIGABRT))
    assert isinstance(caught.value.__cause__, Exit)
    assert caught.value.__cause__.status == 134
    for ignored in (None, signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH):
        stage.ok("proc_raise", SIGNALS.index(ignored))
    assert stage.call("proc_raise", SIGNALS.index(signal.SIGSTOP)) == errno.NOTSUP
    assert stage.call("proc_raise", len(SIGNALS)) == errno.INVAL


def test_yield() -> None:
    Stage().ok("sched_yield")
