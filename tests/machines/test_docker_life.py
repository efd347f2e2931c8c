"""The life of a Wasm container under Docker, from `run` to `rm`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.docker import DAEMON_JSON
from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from wasmimg_testing.machines import DockerHost

NETWORKS = ("none", "host", "bridge")


@pytest.fixture(autouse=True)
def nothing_left(docker: DockerHost) -> object:
    """Whatever a test does, its containers leave nothing."""
    before = Traces.of(docker.machine)
    yield
    docker.clear()
    vanish(docker.machine, before)


@pytest.mark.parametrize("network", NETWORKS)
def test_output_and_exit_code_are_the_guests(docker: DockerHost, network: str) -> None:
    done = docker.run("--rm", "--network", network, "test/hello")
    assert done == (0, "hello\n", "")
    assert docker.run("--rm", "--network", network, "test/exit42").code == 42


def test_a_trap_is_134_and_says_why(docker: DockerHost) -> None:
    done = docker.run("--name", "tt", "test/trap")
    assert done.code == 134
    assert "wasm `unreachable` instruction executed" in done.err
    assert docker.docker("logs", "tt").err == done.err
    assert docker.state("tt")["ExitCode"] == 134


@pytest.mark.parametrize(
    ("entrypoint", "code", "words"),
    [
        ("/nothing.wasm", 127, "no such file or directory"),
        ("/data", 126, "is a directory"),
        ("/not.wasm", 128, "exec format error"),
    ],
)
def test_what_cannot_run_has_dockers_exit_code(
    docker: DockerHost, entrypoint: str, code: int, words: str
) -> None:
    done = docker.run("--name", "wrong", "--entrypoint", entrypoint, "test/toolbox")
    assert words in done.err
    # The command knows of two codes only; 125 is Docker's own word for every other failure.
    assert done.code == (125 if code == 128 else code)
    assert docker.state("wrong")["ExitCode"] == code


def test_a_detached_container_is_seen_everywhere(docker: DockerHost) -> None:
    container = docker.run("-d", "--name", "dd", "test/toolbox", "sleep", "1000").well()
    assert docker.docker("ps", "--format", "{{.Names}} {{.State}}").well() == "dd running"
    state = docker.state("dd")
    assert (state["Status"], state["Running"], state["ExitCode"]) == ("running", True, 0)
    pid = state["Pid"]
    assert docker.machine.run("cat", f"/proc/{pid}/comm").code == 0
    until(lambda: docker.docker("logs", "dd").out == "sleeping\n", "its first words")
    assert str(pid) in docker.docker("top", "dd").well()
    assert docker.docker("inspect", "-f", "{{.Id}}", "dd").well() == container
    docker.docker("rename", "dd", "ee").well()
    docker.docker("kill", "ee").well()
    assert docker.docker("wait", "ee").well() == "137"
    state = docker.state("ee")
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, False)
    docker.docker("rm", "ee").well()
    assert docker.docker("ps", "-aq").well() == ""


def test_stop_lets_a_server_finish(docker: DockerHost) -> None:
    docker.run("-d", "--name", "ss", "test/toolbox", "serve", "8080", "hi").well()
    until(lambda: "serving" in docker.docker("logs", "ss").out, "it serves")
    begin = time.monotonic()
    docker.docker("stop", "-t", "60", "ss").well()
    assert time.monotonic() - begin < 30
    assert docker.docker("logs", "ss").out == "serving\nstopped by 15\n"
    assert docker.state("ss")["ExitCode"] == 0


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("INT", 130), ("USR1", 138)])
def test_a_signal_that_nobody_takes_ends_it(docker: DockerHost, signal: str, code: int) -> None:
    docker.run("-d", "--name", "kk", "test/sleep").well()
    docker.docker("kill", "--signal", signal, "kk").well()
    assert docker.docker("wait", "kk").well() == str(code)


def test_it_can_be_started_again(docker: DockerHost) -> None:
    docker.run("--name", "again", "test/hello").well()
    assert docker.docker("start", "-a", "again").well() == "hello"
    assert docker.docker("logs", "again").out == "hello\nhello\n"
    docker.run("-d", "--name", "rr", "test/sleep").well()
    first = docker.state("rr")["Pid"]
    docker.docker("restart", "rr").well()
    second = docker.state("rr")["Pid"]
    assert first != second


def test_the_daemon_restarts_what_fails(docker: DockerHost) -> None:
    docker.run("-d", "--name", "ff", "--restart", "on-failure:2", "test/exit42").well()
    until(lambda: docker.inspect("ff")["RestartCount"] == 2, "two restarts")
    until(lambda: docker.state("ff")["Status"] == "exited", "it is given up")
    assert docker.state("ff")["ExitCode"] == 42


@pytest.mark.parametrize("before", ["rm", "kill"])
def test_one_that_was_never_started_goes_away(docker: DockerHost, before: str) -> None:
    ours = ("--runtime", "io.containerd.wasmimg.v1", "--platform", "wasi/wasm")
    docker.docker("create", *ours, "--name", "cc", "test/sleep").well()
    if before == "kill":
        assert "is not running" in docker.docker("kill", "cc").err
    docker.docker("rm", "cc").well()


def test_standard_input_ends_when_the_client_does(docker: DockerHost) -> None:
    text = b"xx" * 300_000 + b"\nend\n"
    done = docker.run("--rm", "-i", "test/toolbox", "copy", stdin=text)
    assert (done.code, done.out) == (0, text.decode())
    assert docker.run("--rm", "-i", "test/cat", stdin=b"hi\n").out == "hi\n"


def test_attach_joins_a_running_container(docker: DockerHost) -> None:
    docker.run("-d", "-i", "--name", "aa", "test/toolbox", "copy").well()
    client = docker.machine.start("docker", "attach", "aa")
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"over\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"over\n"
    docker.docker("stop", "aa").well()
    assert client.communicate(timeout=30) == (b"", b"")
    assert client.returncode == 143


def test_logs_are_followed_to_the_end(docker: DockerHost) -> None:
    docker.run("-d", "--name", "ll", "test/toolbox", "serve", "8080", "xx").well()
    follower = docker.machine.start("docker", "logs", "-f", "ll")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"serving\n"
    docker.docker("stop", "ll").well()
    out, err = follower.communicate(timeout=30)
    assert (follower.returncode, out, err) == (0, b"stopped by 15\n", b"")


def test_files_are_copied_in_and_out(docker: DockerHost) -> None:
    docker.run("-d", "--name", "ff", "test/toolbox", "sleep", "1000").well()
    docker.machine.path("/tmp/in").write_text("from outside\n")
    docker.docker("cp", "/tmp/in", "ff:/data/in").well()
    docker.docker("cp", "ff:/data/given", "/tmp/out").well()
    assert docker.machine.path("/tmp/out").read_text() == "given\n"
    docker.docker("rm", "-f", "ff").well()
    ours = ("--runtime", "io.containerd.wasmimg.v1", "--platform", "wasi/wasm")
    docker.docker("create", *ours, "--name", "gg", "test/toolbox", "read", "/data/in").well()
    docker.docker("cp", "/tmp/in", "gg:/data/in").well()
    assert docker.docker("start", "-a", "gg").well() == "from outside"


def test_many_at_once(docker: DockerHost) -> None:
    words = ("run", "--rm", "--runtime", "io.containerd.wasmimg.v1", "--platform", "wasi/wasm")
    started = [docker.machine.start("docker", *words, "test/hello") for _ in range(12)]
    assert [process.communicate(timeout=120) for process in started] == [(b"hello\n", b"")] * 12


def test_the_engine_loses_no_word_of_a_loud_guest(docker: DockerHost) -> None:
    size = 20_000_000
    done = docker.run("--rm", "test/toolbox", "flood", str(size), timeout=120)
    assert (done.code, len(done.out)) == (0, size)


def test_a_shim_that_is_killed_takes_its_container_along(docker: DockerHost) -> None:
    docker.run("-d", "--name", "kk", "test/sleep").well()
    pid = docker.state("kk")["Pid"]
    status = docker.machine.path(f"/proc/{pid}/status").read_text().splitlines()
    (parent,) = [line.split()[1] for line in status if line.startswith("PPid:")]
    docker.machine.run("kill", "-9", parent).well()
    until(lambda: docker.state("kk")["Status"] == "exited", "its end is noticed")
    assert docker.state("kk")["ExitCode"] == 137


def test_a_restarted_daemon_brings_back_what_is_to_be_always_there(docker: DockerHost) -> None:
    words = ("test/toolbox", "serve", "80", "here")
    docker.run("-d", "--name", "always", "--restart", "always", "-p", "8070:80", *words).well()
    docker.run("-d", "--name", "once", "test/sleep").well()
    docker.restart()
    until(lambda: docker.state("always")["Running"] is True, "it runs again")
    assert docker.state("once")["Running"] is False


def test_with_live_restore_it_does_not_notice_the_daemons_restart(
    docker: DockerHost,
) -> None:
    configuration = docker.machine.path(DAEMON_JSON)
    before = configuration.read_text()
    configuration.write_text(json.dumps({**json.loads(before), "live-restore": True}))
    try:
        docker.restart()
        docker.run("-d", "-i", "--name", "lasting", "test/toolbox", "sleep", "1000").well()
        pid = docker.state("lasting")["Pid"]
        docker.restart()
        assert (docker.state("lasting")["Running"], docker.state("lasting")["Pid"]) == (True, pid)
        docker.docker("stop", "lasting").well()
        assert docker.state("lasting")["ExitCode"] == 143
    finally:
        configuration.write_text(before)
        docker.restart()


def test_inspect_is_json_of_a_container(docker: DockerHost) -> None:
    docker.run("--name", "ii", "-e", "A=b", "test/hello").well()
    (document,) = json.loads(docker.docker("inspect", "ii").well())
    assert document["HostConfig"]["Runtime"] == "io.containerd.wasmimg.v1"
    assert "A=b" in document["Config"]["Env"]
    assert os.path.basename(document["Path"]) == "hello.wasm"
    assert Path(document["LogPath"]).is_absolute()
