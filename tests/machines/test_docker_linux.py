"""Linux images under our runtime: their whole life is runc's, beside Wasm containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines import DockerHost, Done

OURS = ("--runtime", "io.containerd.wasmimg.v1")


@pytest.fixture(autouse=True)
def nothing_left(docker: DockerHost) -> Iterator[None]:
    before = Traces.of(docker.machine)
    yield
    docker.clear()
    vanish(docker.machine, before)


def busy(docker: DockerHost, *words: str) -> Done:
    return docker.docker("run", *OURS, *words)


def test_output_and_exit_code_are_the_programs(docker: DockerHost) -> None:
    done = busy(docker, "--rm", "test/busy", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert done == (7, "out\n", "err\n")


@pytest.mark.parametrize("network", ["none", "host", "bridge"])
def test_networks(docker: DockerHost, network: str) -> None:
    words = ("--rm", "--network", network, "test/busy", "ls", "/sys/class/net")
    links = busy(docker, *words).well().split()
    assert "lo" in links
    assert ("eth0" in links) == (network == "bridge")


def test_the_life_of_a_detached_program(docker: DockerHost) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    busy(docker, "-d", "--name", "box", "test/busy", "sh", "-c", script).well()
    until(lambda: docker.docker("logs", "box").out == "up\n", "it is up")
    assert docker.docker("exec", "box", "echo", "inside").well() == "inside"
    assert docker.docker("exec", "box", "sh", "-c", "exit 9").code == 9
    assert docker.docker("exec", "-i", "box", "cat", stdin=b"through\n").out == "through\n"
    assert "sleep" in docker.docker("top", "box").well()
    docker.docker("stop", "box").well()
    assert docker.docker("logs", "box").out == "up\nbye\n"
    assert docker.state("box")["ExitCode"] == 3


def test_health_is_asked_by_exec(docker: DockerHost) -> None:
    check = ("--health-cmd", "test -e /tmp/well", "--health-interval", "1s")
    words = ("test/busy", "sh", "-c", "touch /tmp/well; sleep 1000")
    busy(docker, "-d", "--name", "well", *check, *words).well()
    until(lambda: health(docker, "well") == "healthy", "it is healthy", 30)
    docker.docker("exec", "well", "rm", "/tmp/well").well()
    until(lambda: health(docker, "well") == "unhealthy", "it is unhealthy", 30)


def health(docker: DockerHost, name: str) -> str:
    return docker.docker("inspect", "-f", "{{.State.Health.Status}}", name).well()


def test_what_cannot_run_has_dockers_exit_code(docker: DockerHost) -> None:
    assert busy(docker, "--rm", "test/busy", "/nothing").code == 127
    assert busy(docker, "--rm", "test/busy", "nothing").code == 127
    assert busy(docker, "--rm", "test/busy", "/etc/passwd/x").code in {126, 127}


def test_dockers_init_stays_in_front(docker: DockerHost) -> None:
    program = docker.machine.path("/usr/local/bin/docker-init")
    before = program.read_bytes() if program.exists() else b"\x7fELF"
    program.write_text('#!/bin/sh\necho init "$@"\nshift\nexec "$@"\n')
    program.chmod(0o755)
    try:
        done = busy(docker, "--rm", "--init", "test/busy", "sh", "-c", "exit 5")
        assert (done.code, done.out) == (5, "init -- sh -c exit 5\n"), done
        assert busy(docker, "--rm", "--init", "test/busy", "/nothing").code == 127
    finally:
        program.write_bytes(before)


LITTLE = ("--memory", "32m", "--memory-swap", "32m")
EAT = "x=0123456789; while :; do x=$x$x; done"


def test_too_much_memory_is_reported_as_such(docker: DockerHost) -> None:
    done = busy(docker, "--name", "hungry", *LITTLE, "test/busy", "sh", "-c", EAT)
    assert done.code == 137, done
    state = docker.state("hungry")
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    busy(docker, "--name", "fed", *LITTLE, "test/busy", "true").well()
    assert docker.state("fed")["OOMKilled"] is False


def test_memory_that_runs_out_is_told_of_while_the_container_lives(docker: DockerHost) -> None:
    words = ("sh", "-c", f"({EAT}); echo survived; sleep 1000")
    busy(docker, "-d", "--name", "alive", *LITTLE, "test/busy", *words).well()
    until(lambda: docker.docker("logs", "alive").out == "survived\n", "its child was killed")
    until(lambda: bool(docker.state("alive")["OOMKilled"]), "the engine has heard of it")
    assert docker.state("alive")["Running"] is True


def test_wasm_joins_a_linux_programs_network_and_back(docker: DockerHost) -> None:
    busy(docker, "-d", "--name", "pause", "test/busy", "sleep", "1000").well()
    shared = ("--network", "container:pause")
    docker.run("-d", "--name", "web", *shared, "test/toolbox", "serve", "80", "near").well()
    until(lambda: "serving" in docker.docker("logs", "web").out, "it serves")
    assert docker.docker("exec", "pause", "wget", "-q", "-O-", "http://127.0.0.1/").out == "near"
