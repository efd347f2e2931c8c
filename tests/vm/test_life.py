"""The life of a Wasm container under Docker with systemd's cgroup driver, on cgroup v2 alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines import vestiges
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines.virtual import VirtualDocker


@pytest.fixture(autouse=True)
def nothing_left(docker: VirtualDocker) -> Iterator[None]:
    before = vestiges.of(docker.machine)
    yield
    docker.clear()
    vestiges.vanish(docker.machine, before)


def scope(container: str) -> str:
    """Give the folder that systemd makes for a container of Docker's."""
    return f"/sys/fs/cgroup/system.slice/docker-{container}.scope"


def files(docker: VirtualDocker, folder: str, *names: str) -> dict[str, str]:
    """Read files of a folder at once."""
    words = ("sh", "-c", 'cd "$1"; shift; head -qn 1 "$@"', "read", folder, *names)
    return dict(zip(names, docker.machine.run(*words).well().splitlines(), strict=True))


def test_the_machine_is_what_it_is_for(docker: VirtualDocker) -> None:
    wanted = "{{.CgroupDriver}} {{.CgroupVersion}} {{.ServerVersion}}"
    driver, version, engine = docker.docker("info", "--format", wanted).well().split()
    assert (driver, version, engine.split(".")[0]) == ("systemd", "2", "26")
    assert docker.machine.run("systemctl", "is-system-running").well() == "running"
    assert docker.machine.run("stat", "-fc", "%T", "/sys/fs/cgroup").well() == "cgroup2fs"


def test_output_and_exit_code_are_the_guests(docker: VirtualDocker) -> None:
    assert docker.run("--rm", "test/hello") == (0, "hello\n", "")
    assert docker.run("--rm", "--network", "none", "test/exit42").code == 42
    done = docker.run("--rm", "--network", "host", "test/trap")
    assert done.code == 134
    assert "wasm `unreachable` instruction executed" in done.err


def test_a_container_is_a_scope_with_its_limits(docker: VirtualDocker) -> None:
    options = ("--cpus", "0.5", "--pids-limit", "20", "--memory", "128m", "--cpu-shares", "77")
    pinned = ("--cpuset-cpus", "1", "--memory-reservation", "64m", "--memory-swap", "256m")
    words = ("-d", "--name", "limited", *options, *pinned, "test/sleep")
    container = docker.run(*words).well()
    expected = {
        "memory.max": str(128 << 20),
        "memory.swap.max": str(128 << 20),
        "memory.low": str(64 << 20),
        "pids.max": "20",
        "cpu.max": "50000 100000",
        "cpu.weight": "3",
        "cpuset.cpus": "1",
    }
    assert files(docker, scope(container), *expected) == expected
    # Not only in the files, which systemd writes anew when it reloads.
    docker.machine.run("systemctl", "daemon-reload").well()
    assert files(docker, scope(container), *expected) == expected
    pid = str(docker.state("limited")["Pid"])
    unit = f"docker-{container}.scope"
    assert docker.machine.read(f"/proc/{pid}/cgroup") == f"0::/system.slice/{unit}\n"
    shown = docker.machine.run("systemctl", "show", "-p", "ActiveState,Delegate,DevicePolicy", unit)
    wanted = {"ActiveState=active", "Delegate=yes", "DevicePolicy=strict"}
    assert set(shown.well().split()) == wanted
    docker.docker("kill", "limited").well()
    assert docker.docker("wait", "limited").well() == "137"
    assert docker.state("limited")["OOMKilled"] is False


def test_too_much_memory_is_reported_as_such(docker: VirtualDocker) -> None:
    options = ("--name", "hungry", "--memory", "64m", "--memory-swap", "64m")
    assert docker.run(*options, "test/toolbox", "eat", "500").code == 137
    state = docker.state("hungry")
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)


def test_stop_lets_a_server_finish(docker: VirtualDocker) -> None:
    docker.run("-d", "--name", "ss", "test/toolbox", "serve", "8080", "hi").well()
    until(lambda: "serving" in docker.docker("logs", "ss").out, "it serves")
    begin = time.monotonic()
    docker.docker("stop", "-t", "100", "ss").well()
    assert time.monotonic() - begin < 60
    assert docker.docker("logs", "ss").out == "serving\nstopped by 15\n"
    assert docker.state("ss")["ExitCode"] == 0


def test_a_signal_that_nobody_takes_ends_it(docker: VirtualDocker) -> None:
    docker.run("-d", "--name", "kk", "test/sleep").well()
    docker.docker("kill", "--signal", "USR1", "kk").well()
    assert docker.docker("wait", "kk").well() == "138"
    docker.docker("start", "kk").well()
    docker.docker("kill", "kk").well()
    assert docker.docker("wait", "kk").well() == "137"


def test_a_slice_of_ones_own(docker: VirtualDocker) -> None:
    options = ("-d", "--name", "child", "--cgroup-parent", "ours-inner.slice")
    container = docker.run(*options, "test/sleep").well()
    folder = f"/sys/fs/cgroup/ours.slice/ours-inner.slice/docker-{container}.scope"
    assert docker.machine.read(f"{folder}/cgroup.procs")
    docker.clear()
    # A slice is its user's, as under runc; it stays, and is empty.
    docker.machine.run("systemctl", "stop", "ours.slice").well()


def test_what_cannot_run_leaves_no_scope(docker: VirtualDocker) -> None:
    done = docker.run("--name", "wrong", "--entrypoint", "/nothing.wasm", "test/toolbox")
    assert done.code == 127


def test_a_shim_that_is_killed_takes_its_container_along(docker: VirtualDocker) -> None:
    docker.run("-d", "--name", "kk", "test/sleep").well()
    pid = str(docker.state("kk")["Pid"])
    (parent,) = [
        line.split()[1]
        for line in docker.machine.read(f"/proc/{pid}/status").splitlines()
        if line.startswith("PPid:")
    ]
    docker.machine.run("kill", "-9", parent).well()
    until(lambda: docker.state("kk")["Status"] == "exited", "its end is noticed")
    assert docker.state("kk")["ExitCode"] == 137


def test_a_linux_program_is_a_scope_of_runcs(docker: VirtualDocker) -> None:
    ours = ("run", "--runtime", "io.containerd.wasmimg.v1")
    options = ("-d", "--name", "box", "--memory", "128m", "--pids-limit", "30")
    script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.2; done"
    container = docker.docker(*ours, *options, "test/busy", "sh", "-c", script).well()
    until(lambda: docker.docker("logs", "box").out == "up\n", "it is up")
    expected = {"memory.max": str(128 << 20), "pids.max": "30"}
    assert files(docker, scope(container), *expected) == expected
    assert docker.docker("exec", "box", "echo", "inside").well() == "inside"
    docker.docker("stop", "box").well()
    assert docker.docker("logs", "box").out == "up\nbye\n"
    assert docker.state("box")["ExitCode"] == 3
