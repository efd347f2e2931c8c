"""`run` in the foreground with a restart policy: every start's output, and an end when asked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import lifecycle
from wasmimg_compose.container import ContainerSpec
from wasmimg_compose.foreground import Foreground
from wasmimg_images.errors import RunError
from wasmimg_testing.embedded import until

if TYPE_CHECKING:
    from wasmimg_testing.embedded import Machine

pytestmark = [pytest.mark.root, pytest.mark.network]


@contextlib.contextmanager
def running(machine: Machine, *words: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "wasmimg", "run", *words],
        env={
            **os.environ,
            "WASMIMG_HOME": str(machine.home.data),
            "WASMIMG_RUN": str(machine.home.run),
            "WASMIMG_CACHE": str(machine.home.cache),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def restarts(machine: Machine) -> int:
    return sum(record.restarts for record in machine.records.all())


def test_every_start_is_heard_and_the_last_exit_code_is_given(machine: Machine) -> None:
    script = "echo x >> /n; echo start $(wc -l < /n); [ $(wc -l < /n) = 3 ] || exit 5"
    with running(machine, "--restart", "on-failure", "busy", "sh", "-c", script) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.splitlines() == ["start 1", "start 2", "start 3"]


def test_an_interrupt_ends_a_container_that_is_always_restarted(machine: Machine) -> None:
    script = "echo x >> /n; echo up; [ $(wc -l < /n) = 1 ] && exit; sleep 100 & wait"
    with running(
        machine, "--restart", "always", "busy", "sh", "-c", f"trap 'exit 130' INT; {script}"
    ) as (process):
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    until(lambda: not machine.leftovers(), "the supervisor to end")


def test_an_interrupt_ends_the_wait_for_a_restart(machine: Machine) -> None:
    words = ("--name", "web", "--restart", "always", "busy", "sh", "-c", "echo up; exit 7")
    with running(machine, *words) as process:
        until(lambda: restarts(machine) >= 3, "pauses of 0.8 s")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 7
    assert out == "up\n" * (restarts(machine) + 1)
    until(lambda: not machine.leftovers(), "the supervisor to end")


@pytest.mark.parametrize("words", [(), ("--rm",)])
def test_a_guest_that_takes_too_much_memory_is_named(
    machine: Machine, words: tuple[str, ...]
) -> None:
    eat = "head -c 64m /dev/zero | tail"
    with running(
        machine, "-m", "8m", "--name", "eater", *words, "busy", "sh", "-c", eat
    ) as process:
        _, errors = process.communicate(timeout=60)
    line = "wasmimg: a process of eater was killed: the memory limit was reached"
    assert line in errors.splitlines()
    if not words:
        assert lifecycle.inspect(machine.home, "eater").out_of_memory


def test_stopping_a_container_that_removes_itself(machine: Machine) -> None:
    record = machine.start(
        ContainerSpec("busy", command=("sleep", "100"), auto_remove=True),
    )
    lifecycle.stop(machine.home, record.id, grace=0.1)
    until(lambda: not machine.records.folder(record.id).exists(), "its removal")


def test_what_somebody_else_has_started_is_not_shown(machine: Machine) -> None:
    record = machine.shell("while :; do sleep 0.1; done")
    with open(os.devnull, "wb") as null:
        foreground = Foreground(machine.home, record)
        with pytest.raises(RunError, match="was started by somebody else"):
            foreground.run(None, null.fileno(), null.fileno())
    assert lifecycle.inspect(machine.home, record.id).state == "running"
