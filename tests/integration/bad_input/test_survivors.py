"""Our own processes killed under running containers, and several commands at once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_testing.commandline import CommandLine, Done

pytestmark = [pytest.mark.root, pytest.mark.network]
COMPOSE = """
services:
  first: {image: sleep, stop_grace_period: 0s}
  second: {image: sleep, stop_grace_period: 0s}
"""


def state(wasmimg: CommandLine, name: str) -> dict[str, object]:
    for line in wasmimg("ps", "-a", "--json").well().splitlines():
        found: dict[str, object] = json.loads(line)
        if found["name"] == name:
            return found
    raise AssertionError(f"no container {name}")


def named(wasmimg: CommandLine, comm: str) -> list[int]:
    """List our processes of that name (proc(5), comm) that are no container's init."""
    inits = [json.loads(line)["pid"] for line in wasmimg("ps", "--json").well().splitlines()]
    return [
        pid
        for pid in wasmimg.processes()
        if pid not in inits and Path(f"/proc/{pid}/comm").read_text().strip() == comm
    ]


def kill(wasmimg: CommandLine, comm: str) -> None:
    (pid,) = named(wasmimg, comm)
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in wasmimg.processes(), f"{comm} is dead", 10)


@pytest.fixture
def running(wasmimg: CommandLine) -> int:
    wasmimg("run", "-d", "--name", "it", "sleep").well()
    pid = state(wasmimg, "it")["pid"]
    assert isinstance(pid, int)
    return pid


def test_the_supervisor_is_killed(wasmimg: CommandLine, running: int) -> None:
    kill(wasmimg, "wasmimg-project")
    assert Path(f"/proc/{running}").exists()
    assert state(wasmimg, "it")["pid"] == running
    assert named(wasmimg, "wasmimg-project")
    os.kill(running, signal.SIGKILL)
    until(lambda: state(wasmimg, "it")["state"] == "exited", "its end is seen", 10)
    assert state(wasmimg, "it")["exit_code"] == 137
    wasmimg("rm", "it").well()


def test_the_zygote_is_killed(wasmimg: CommandLine, running: int) -> None:
    kill(wasmimg, "wasmimg-zygote")
    assert state(wasmimg, "it")["pid"] == running
    assert wasmimg("run", "--rm", "hello").well() == "hello"
    wasmimg("rm", "-f", "it").well()


def test_the_shim_is_killed(wasmimg: CommandLine, running: int) -> None:
    kill(wasmimg, "wasmimg-shim")
    until(lambda: state(wasmimg, "it")["state"] == "exited", "its end is seen", 10)
    assert running not in wasmimg.processes()
    assert wasmimg("ps", "-q").well() == ""
    wasmimg("rm", "it").well()


def test_everything_is_killed(wasmimg: CommandLine, running: int) -> None:
    del running
    for pid in wasmimg.processes():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not wasmimg.processes(), "all are dead", 10)
    until(lambda: state(wasmimg, "it")["state"] == "exited", "its end is seen", 10)
    assert wasmimg("ps", "-q").well() == ""
    wasmimg("rm", "it").well()


def together(wasmimg: CommandLine, *commands: Sequence[str | Path], cwd: Path) -> list[Done]:
    """Run commands at the same time."""
    from wasmimg_testing.commandline import Done

    processes = [wasmimg.start(*words, cwd=cwd) for words in commands]
    found: list[Done] = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        found.append(Done(process.returncode, out.decode(), err.decode()))
    return found


def test_builds_at_once(wasmimg: CommandLine, tmp_path: Path) -> None:
    from wasmimg_testing.shims import guest

    (tmp_path / "app.wasm").write_bytes(guest("hello"))
    words = ("build", "app.wasm", "-t", "app", "--no-cache")
    outputs = {done.well() for done in together(wasmimg, words, words, words, cwd=tmp_path)}
    assert len(outputs) == 1
    assert wasmimg("run", "--rm", "app").well() == "hello"


def test_pulls_at_once(wasmimg: CommandLine, tmp_path: Path) -> None:
    serving = wasmimg.start("registry-serve", tmp_path / "registry")
    assert serving.stderr is not None
    serving.stderr.readline()
    name = "127.0.0.1:5000/busybox"
    wasmimg("tag", "busybox", name).well()
    push = ("push", name)
    assert len({done.well() for done in together(wasmimg, push, push, cwd=tmp_path)}) == 1
    wasmimg("rmi", "-f", name).well()
    pull = ("pull", name)
    assert len({done.well() for done in together(wasmimg, pull, pull, pull, cwd=tmp_path)}) == 1
    assert wasmimg("run", "--rm", name, "echo", "there").well() == "there"
    serving.terminate()
    serving.communicate()


def test_ups_at_once(wasmimg: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    up = ("compose", "up", "-d")
    for done in together(wasmimg, up, up, cwd=tmp_path):
        done.well()
    assert len(wasmimg("compose", "ps", "-q", cwd=tmp_path).well().split()) == 2
    down = ("compose", "down")
    for done in together(wasmimg, down, down, cwd=tmp_path):
        done.well()
    for done in together(wasmimg, up, down, up, cwd=tmp_path):
        done.well()
    wasmimg(*down, cwd=tmp_path).well()


def test_an_up_in_the_foreground_keeps_nobody_waiting(wasmimg: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    up = wasmimg.start("compose", "up", cwd=tmp_path)
    ps = ("compose", "ps", "-q")
    until(lambda: len(wasmimg(*ps, cwd=tmp_path).well().split()) == 2, "both run")
    down = wasmimg("compose", "down", cwd=tmp_path)
    down.well()
    assert "waiting for" not in down.err
    up.communicate(timeout=60)
    assert up.returncode == 0


def test_one_name_for_two(wasmimg: CommandLine, tmp_path: Path) -> None:
    words = ("run", "-d", "--name", "it", "sleep")
    done = together(wasmimg, words, words, cwd=tmp_path)
    assert sorted(each.code for each in done) == [0, 3]
    next(each for each in done if each.code).says(3, "the name it is taken")
    wasmimg("rm", "-f", "it").well()
