"""What `docker run` can be told of a Wasm container, and that the guest finds it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines import DockerHost

RESOLV = "/etc/resolv.conf"


@pytest.fixture(autouse=True)
def nothing_left(docker: DockerHost) -> Iterator[None]:
    before = Traces.of(docker.machine)
    yield
    docker.clear()
    vanish(docker.machine, before)


def said(docker: DockerHost, *words: str) -> str:
    """Run the toolbox with options and words; gives what it prints."""
    at = next(index for index, word in enumerate(words) if word == "--")
    return docker.run("--rm", *words[:at], "test/toolbox", *words[at + 1 :]).well()


def test_arguments_and_environment(docker: DockerHost) -> None:
    assert said(docker, "--", "args", "a b", "", "--c", "ü") == "a b||--c|ü"
    printed = said(docker, "-e", "GIVEN=yes", "-e", "IMAGE=no", "--hostname", "box", "--", "env")
    found = dict(line.split("=", 1) for line in printed.splitlines())
    assert (found["GIVEN"], found["IMAGE"], found["HOSTNAME"]) == ("yes", "no", "box")
    assert "PATH" in found


def test_the_working_directory(docker: DockerHost) -> None:
    # The guest's C library knows no other than "/" for relative paths: PWD says where it is.
    assert "PWD=/data" in said(docker, "-w", "/data", "--", "env").splitlines()
    assert "PWD=/made/anew" in said(docker, "-w", "/made/anew", "--", "env").splitlines()
    assert (
        docker.run("--rm", "-w", "/data", "--entrypoint", "../hello.wasm", "test/hello").code == 0
    )


def test_the_entrypoint_and_a_function(docker: DockerHost) -> None:
    done = docker.run("--rm", "--entrypoint", "/hello.wasm#quiet", "test/hello")
    assert done == (0, "", "")
    assert docker.run("--rm", "--entrypoint", "/hello.wasm", "test/hello").out == "hello\n"


def test_a_read_only_root(docker: DockerHost) -> None:
    assert docker.run("--rm", "test/toolbox", "write", "/data/new", "x").code == 0
    done = docker.run("--rm", "--read-only", "test/toolbox", "write", "/data/new", "x")
    assert (done.code, "Read-only file system" in done.err) == (1, True), done
    done = docker.run(
        *("--rm", "--read-only", "--tmpfs", "/scratch", "test/toolbox"),
        *("write", "/scratch/new", "x"),
    )
    assert done == (0, "", "")


def test_folders_of_the_host(docker: DockerHost) -> None:
    folder = docker.machine.path("/srv/shared")
    folder.mkdir()
    (folder / "file").write_text("of the host\n")
    assert said(docker, "-v", "/srv/shared:/in:ro", "--", "read", "/in/file") == "of the host"
    done = docker.run(
        *("--rm", "-v", "/srv/shared:/in:ro", "test/toolbox", "write", "/in/file", "changed")
    )
    assert (done.code, "Read-only file system" in done.err) == (1, True), done
    assert said(docker, "-v", "/srv/shared:/in", "--", "write", "/in/file", "changed") == ""
    assert (folder / "file").read_text() == "changed"
    assert said(docker, "-v", "/srv/shared/file:/one:ro", "--", "read", "/one") == "changed"


def test_volumes_keep_what_is_written(docker: DockerHost) -> None:
    docker.docker("volume", "create", "kept").well()
    said(docker, "-v", "kept:/data", "--", "write", "/data/note", "kept")
    assert said(docker, "-v", "kept:/data:ro", "--", "read", "/data/note") == "kept"
    # A new volume takes what the image has there.
    assert said(docker, "-v", "kept:/data", "--", "read", "/data/given") == "given"
    docker.docker("volume", "rm", "kept").well()


@pytest.mark.parametrize("user", ["1000:1000", "app"])
def test_a_user_may_do_no_more_than_a_user(docker: DockerHost, user: str) -> None:
    folder = docker.machine.path(f"/srv/user-{user.replace(':', '-')}")
    folder.mkdir()
    folder.chmod(0o777)
    options = ("--user", user, "-v", f"/srv/{folder.name}:/in")
    assert said(docker, *options, "--", "write", "/in/mine", "x") == ""
    status = (folder / "mine").stat()
    assert (status.st_uid, status.st_gid) == (1000, 1000)
    (folder / "mine").chmod(0o600)
    done = docker.run("--rm", *options, "test/toolbox", "write", "/etc/passwd", "x")
    assert (done.code, "Permission denied" in done.err) == (1, True), done


def test_too_much_memory_is_reported_as_such(docker: DockerHost) -> None:
    assert said(docker, "--memory", "256m", "--", "eat", "16") == "ate 16"
    options = ("--name", "hungry", "--memory", "64m", "--memory-swap", "64m")
    assert docker.run(*options, "test/toolbox", "eat", "500").code == 137
    state = docker.state("hungry")
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)


def test_limits_are_the_cgroups(docker: DockerHost) -> None:
    options = ("--cpus", "0.5", "--pids-limit", "20", "--memory", "128m", "--cpu-shares", "77")
    container = docker.run("-d", "--name", "limited", *options, "test/sleep").well()
    expected = {
        "memory/docker/{}/memory.limit_in_bytes": str(128 << 20),
        "pids/docker/{}/pids.max": "20",
        "cpu/docker/{}/cpu.cfs_quota_us": "50000",
        "cpu/docker/{}/cpu.shares": "77",
    }
    for path, value in expected.items():
        file = docker.machine.path(f"/sys/fs/cgroup/{path.format(container)}")
        assert file.read_text().strip() == value, path


def test_the_cgroup_is_below_the_parent_that_is_named(docker: DockerHost) -> None:
    options = ("-d", "--name", "child", "--cgroup-parent", "/ours")
    container = docker.run(*options, "test/sleep").well()
    folders = [docker.machine.path(f"/sys/fs/cgroup/{kind}/ours") for kind in ("memory", "pids")]
    assert all((folder / container / "cgroup.procs").read_text() for folder in folders)
    docker.clear()
    # A parent is its user's, as under runc; it stays, and is empty.
    kinds = docker.machine.run("ls", "/sys/fs/cgroup").well().split()
    docker.machine.run("rmdir", *(f"/sys/fs/cgroup/{kind}/ours" for kind in kinds)).well()


def test_dockers_own_init_is_not_needed(docker: DockerHost) -> None:
    docker.machine.path("/usr/local/bin/docker-init").write_bytes(b"\x7fELF")
    docker.machine.path("/usr/local/bin/docker-init").chmod(0o755)
    assert docker.run("--rm", "--init", "test/exit42").code == 42
    assert said(docker, "--init", "--", "args", "a") == "a"


def test_names_are_found_as_they_are_given(docker: DockerHost) -> None:
    given = ("--add-host", "example.test:192.0.2.7")
    assert said(docker, *given, "--", "lookup", "example.test") == "192.0.2.7"
    printed = said(docker, "--dns", "192.0.2.53", "--dns-search", "x.test", "--", "read", RESOLV)
    assert "nameserver 192.0.2.53" in printed
    assert "search x.test" in printed


@pytest.mark.parametrize(
    "options",
    [
        ("--cap-drop", "ALL"),
        ("--cap-add", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--security-opt", "seccomp=unconfined"),
        ("--privileged",),
        ("--ipc", "host"),
        ("--uts", "host"),
        ("--pid", "host"),
        ("--cgroupns", "host"),
        ("--cgroupns", "private"),
        ("--shm-size", "1m"),
        ("--ulimit", "nofile=100:200"),
        ("--sysctl", "net.ipv4.ip_unprivileged_port_start=1000"),
        ("--oom-score-adj", "500"),
        ("--device", "/dev/null:/dev/zilch"),
        ("--group-add", "2000"),
        ("--stop-signal", "INT"),
        ("--label", "a=b"),
        ("--blkio-weight", "300"),
    ],
)
def test_other_options_do_no_harm(docker: DockerHost, options: tuple[str, ...]) -> None:
    assert said(docker, *options, "--", "args", "fine") == "fine"


@pytest.mark.parametrize("name", ["wasmedge", "wasmtime"])
def test_other_shims_names_are_answered(docker: DockerHost, name: str) -> None:
    words = ("run", "--rm", "--runtime", f"io.containerd.{name}.v1", "--platform", "wasi/wasm")
    done = docker.docker(*words, "test/toolbox", "args", "as", "ever")
    assert done == (0, "as|ever\n", "")


def test_the_stop_signal_is_the_containers(docker: DockerHost) -> None:
    options = ("-d", "--name", "stopped", "--stop-signal", "USR1")
    docker.run(*options, "test/toolbox", "serve", "80", "x").well()
    until(lambda: "serving" in docker.docker("logs", "stopped").out, "it serves")
    docker.docker("stop", "stopped").well()
    assert docker.docker("logs", "stopped").out.endswith("stopped by 10\n")
