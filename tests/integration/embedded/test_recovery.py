"""kill -9 at any moment: the next command completes or undoes, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import lifecycle
from wasmimg_compose.container import ContainerSpec, Port, RestartPolicy
from wasmimg_images.errors import NotFound
from wasmimg_shim import client
from wasmimg_testing.embedded import Machine, until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.network]
FOREVER = "echo ready; trap 'exit 3' TERM; while :; do sleep 0.1; done"


def wasmimg(machine: Machine, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
    """Start the command line on the test's home."""
    environment = {
        **os.environ,
        **more,
        "WASMIMG_HOME": str(machine.home.data),
        "WASMIMG_RUN": str(machine.home.run),
        "WASMIMG_CACHE": str(machine.home.cache),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "wasmimg", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(machine: Machine, *arguments: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    process = wasmimg(machine, *arguments)
    out, err = process.communicate(given, timeout=60)
    return process.returncode, out, err


def kill_supervisor(machine: Machine) -> None:
    pid = machine.supervisor()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: machine.supervisor() is None, "its death")


def test_the_next_command_takes_up_where_a_killed_supervisor_was(machine: Machine) -> None:
    record = machine.shell(FOREVER, ports=(Port(80),))
    kill_supervisor(machine)
    (seen,) = lifecycle.containers(machine.home)
    assert seen.state == "running"
    assert seen.pid == record.pid
    assert machine.supervisor() is not None
    until(lambda: "ready" in machine.log(record), "the trap")
    assert lifecycle.stop(machine.home, record.id).exit_code == 3


def test_what_ended_without_a_supervisor_is_reaped_with_its_exit_code(machine: Machine) -> None:
    record = machine.shell("while [ ! -e /go ]; do sleep 0.05; done; exit 6")
    kill_supervisor(machine)
    (machine.home.run / "bundles" / record.id / "rootfs" / "go").touch()
    assert lifecycle.wait(machine.home, record.id) == 6
    until(lambda: not machine.leftovers(), "a clean host")


def test_who_waits_does_not_wait_for_ever_for_a_killed_supervisor(machine: Machine) -> None:
    record = machine.shell("while [ ! -e /go ]; do sleep 0.05; done; exit 6")
    waiting = wasmimg(machine, "wait", record.id)
    kill_supervisor(machine)
    (machine.home.run / "bundles" / record.id / "rootfs" / "go").touch()
    out, _ = waiting.communicate(timeout=30)
    assert out == b"6\n"


def test_restarts_go_on_after_the_supervisor_was_killed(machine: Machine) -> None:
    record = machine.shell("echo try; sleep 0.3; exit 1", restart=RestartPolicy("always"))
    kill_supervisor(machine)
    before = machine.log(record).count("try")

    def restarted() -> bool:
        lifecycle.containers(machine.home)
        return machine.log(record).count("try") > before + 1

    until(restarted, "a restart")


def test_a_killed_shim_is_cleaned_up_after(machine: Machine) -> None:
    record = machine.start(ContainerSpec("busy", command=("sleep", "100")))
    with client.connect(record.shim) as task:
        pid = task.connect(record.id).shim_pid
    os.kill(pid, signal.SIGKILL)
    assert lifecycle.wait(machine.home, record.id) == 137
    until(lambda: not machine.leftovers(), "a clean host")


@pytest.mark.parametrize("arguments", [("run", "-d", "-p", "0:80"), ("run", "--rm")])
@pytest.mark.parametrize("milliseconds", [60, 120, 160, 200, 240, 280, 320, 400, 600])
def test_a_killed_run_leaves_a_whole_container_or_none(
    machine: Machine, arguments: Sequence[str], milliseconds: int
) -> None:
    if "0:80" in arguments:
        arguments = [a.replace("0:80", "80") for a in arguments]
    process = wasmimg(machine, *arguments, "--name", "web", "busy", "sh", "-c", FOREVER)
    time.sleep(milliseconds / 1000)  # the moment is what is tested
    process.kill()
    process.communicate()
    # A child of the killed may hold its locks for as long as it takes to die.
    until(
        lambda: not any(each.is_half_made for each in lifecycle.containers(machine.home)),
        "no half-made container",
    )
    for record in lifecycle.containers(machine.home):
        assert record.state in {"created", "running", "exited"}
        with contextlib.suppress(NotFound):  # --rm: its supervisor may be first
            if record.state == "running":
                assert lifecycle.stop(machine.home, record.id).state == "exited"
            lifecycle.remove(machine.home, record.id)
    status, out, _ = finished(machine, "run", "--rm", "--name", "web", "busy", "echo", "works")
    assert (status, out) == (0, b"works\n")


def test_who_cleans_up_waits_for_the_programs_of_the_killed(
    machine: Machine, tmp_path: Path
) -> None:
    """Rules that appeared after the clean-up would be nobody's."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    slow = tmp_path / "bin" / "nft"
    slow.parent.mkdir()
    slow.write_text(
        f"#!/bin/sh\ntouch {begun}\nuntil [ -e {go} ]; do sleep 0.01; done\n"
        f'exec {shutil.which("nft")} "$@"\n'
    )
    slow.chmod(0o755)
    path = f"{slow.parent}:{os.environ['PATH']}"
    process = wasmimg(machine, "run", "-d", "busy", "sh", "-c", FOREVER, PATH=path)
    until(begun.exists, "rules that are being written")
    process.kill()
    process.communicate()
    cleaning = wasmimg(machine, "ps")
    with pytest.raises(subprocess.TimeoutExpired):
        cleaning.wait(1)
    go.touch()
    assert cleaning.wait(60) == 0
    cleaning.communicate()


@pytest.mark.parametrize("milliseconds", [80, 150, 200, 300])
def test_a_killed_removal_is_completed(machine: Machine, milliseconds: int) -> None:
    machine.shell(FOREVER, name="web")
    process = wasmimg(machine, "rm", "-f", "web")
    time.sleep(milliseconds / 1000)  # the moment is what is tested
    process.kill()
    process.communicate()
    for record in lifecycle.containers(machine.home):
        lifecycle.remove(machine.home, record.id, force=True)
    until(lambda: not machine.leftovers(), "a clean host")


def test_the_command_line_in_the_foreground(machine: Machine) -> None:
    status, out, err = finished(
        machine, "run", "--rm", "busy", "sh", "-c", "echo out; echo err >&2; exit 7"
    )
    assert (status, out, err) == (7, b"out\n", b"err\n")
    status, out, _ = finished(machine, "run", "--rm", "-i", "busy", "cat", given=b"in and out")
    assert (status, out) == (0, b"in and out")
    status, out, err = finished(machine, "run", "--rm", "hello")
    assert (status, out, err) == (42, b"hello from wasm\n", b"trouble\n")
    status, _, err = finished(machine, "run", "--rm", "busy", "/nope")
    assert status == 127
    assert err.count(b"\n") == 1
    _, out, _ = finished(machine, "ps", "-a", "-q")
    assert out == b""


def test_a_container_outlives_the_command_that_shows_it(machine: Machine) -> None:
    count = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"
    process = wasmimg(machine, "run", "--rm", "--name", "web", "busy", "sh", "-c", count)
    assert process.stdout is not None
    assert process.stdout.readline() == b"line 1\n"
    process.kill()
    process.communicate()
    record = lifecycle.inspect(machine.home, "web")
    seen = len(machine.log(record).splitlines())
    until(lambda: len(machine.log(record).splitlines()) > seen + 20, "more lines in its log")
    lines = machine.log(record).splitlines()
    assert len(lines) == len(set(lines))
    assert lifecycle.stop(machine.home, record.id, grace=0).state == "exited"


def test_a_signal_to_the_foreground_reaches_the_guest(machine: Machine) -> None:
    process = wasmimg(machine, "run", "--rm", "busy", "sh", "-c", FOREVER)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 3


def test_the_command_line_in_the_background(machine: Machine) -> None:
    status, out, _ = finished(machine, "run", "-d", "--name", "web", "busy", "sh", "-c", FOREVER)
    assert status == 0
    identity = out.decode().strip()
    until(lambda: b"ready" in finished(machine, "logs", "web")[1], "a log")
    assert identity[:12] in finished(machine, "ps")[1].decode()
    assert finished(machine, "stop", "web")[0] == 0
    assert finished(machine, "wait", identity[:5])[1] == b"3\n"
    assert finished(machine, "logs", "--tail", "1", "web")[1] == b"ready\n"
    assert finished(machine, "rm", "web")[0] == 0
    status, _, err = finished(machine, "rm", "web")
    assert status == 4
    assert b"no such container: web" in err
