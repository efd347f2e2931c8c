"""`wasmimg install` and `uninstall` on machines with real engines on which nothing is registered."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.images import layer
from wasmimg_testing.machines import (
    BOOKWORM,
    FORKY,
    RUNTIME,
    TRIXIE,
    ContainerdHost,
    DockerHost,
    Done,
    Machine,
    containerd_host,
    docker_host,
)
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKERS = {"docker-28.5": FORKY, "docker-26.1": TRIXIE}
CONTAINERDS = {"containerd-2.1": FORKY, "containerd-1.7": TRIXIE, "containerd-1.6": BOOKWORM}
WASM = "wasi/wasm"
DAEMON_JSON = "/etc/docker/daemon.json"
USERS = b'{"features":  {"containerd-snapshotter":true},\n "log-opts": {"max-size": "10m"} }\n'
#: what `install` may change: everything below must be as it was after `uninstall`
PLACES = ("/usr/local", "/etc", "/var/lib/wasmimg")


def wasmimg(machine: Machine, *words: str, timeout: float = 120) -> Done:
    return machine.run("/opt/wasmimg/bin/wasmimg", *words, timeout=timeout)


def content(machine: Machine) -> str:
    """All files that belong to the machine's configuration, by name, rights, owner and content."""
    script = (
        'find "$@" -xdev -printf "%p %M %u %l\\n" 2>/dev/null | sort;'
        ' find "$@" -xdev -type f -exec sha256sum {} + 2>/dev/null | sort'
    )
    return machine.run("sh", "-c", script, "find", *PLACES).out


def runtimes(host: DockerHost) -> set[str]:
    return set(json.loads(host.docker("info", "--format", "{{json .Runtimes}}").well()))


def images(host: DockerHost) -> set[str]:
    return set(host.docker("images", "-q").well().split())


@contextlib.contextmanager
def configured(host: DockerHost, raw: bytes) -> Iterator[None]:
    """Run Docker with a user's configuration in the block; the file that was there comes back."""
    before = host.machine.path(DAEMON_JSON).read_bytes()
    host.machine.path(DAEMON_JSON).write_bytes(raw)
    host.restart()
    try:
        yield
    finally:
        host.machine.path(DAEMON_JSON).write_bytes(before)


@pytest.fixture(scope="module", params=DOCKERS)
def docker(request: pytest.FixtureRequest, roots: None, archive: Path) -> Iterator[DockerHost]:
    with docker_host(DOCKERS[request.param], shim=False) as host:
        host.load(archive)
        yield host


@pytest.fixture(scope="module", params=CONTAINERDS)
def containerd(
    request: pytest.FixtureRequest, roots: None, archive: Path
) -> Iterator[ContainerdHost]:
    with containerd_host(CONTAINERDS[request.param], shim=False) as host:
        host.load(archive)
        yield host


def test_install_run_uninstall_on_docker(docker: DockerHost) -> None:
    with configured(docker, USERS):
        before, known = content(docker.machine), runtimes(docker)
        known_images = images(docker)
        done = wasmimg(docker.machine, "install")
        done.well()
        assert "run a Wasm image under Docker" in done.err
        for name in ("wasmimg", "wasmedge", "wasmtime", RUNTIME, "io.containerd.wasmedge.v1"):
            ran = docker.docker("run", "--rm", "--runtime", name, "--platform", WASM, "test/hello")
            assert ran.well() == "hello", name
        assert images(docker) == known_images
        assert docker.docker("ps", "-aq").well() == ""
        wasmimg(docker.machine, "uninstall").well()
        assert content(docker.machine) == before
        assert docker.machine.path(DAEMON_JSON).read_bytes() == USERS
        assert runtimes(docker) == known


def test_a_dry_run_says_all_and_does_nothing(docker: DockerHost) -> None:
    before = content(docker.machine)
    planned = wasmimg(docker.machine, "install", "--dry-run")
    assert content(docker.machine) == before
    assert planned.err == ""
    assert wasmimg(docker.machine, "install").err == planned.out
    planned = wasmimg(docker.machine, "uninstall", "--dry-run")
    assert wasmimg(docker.machine, "uninstall").err == planned.out + planned.err


def test_a_running_container_keeps_uninstall_back(docker: DockerHost) -> None:
    wasmimg(docker.machine, "install", "--no-proof").well()
    run = ("run", "-d", "--name", "at-work", "--runtime", "wasmimg", "--platform", WASM)
    docker.docker(*run, "test/sleep").well()
    refused = wasmimg(docker.machine, "uninstall")
    assert refused.code == 3
    assert "at-work" in refused.err.splitlines()[0]
    docker.docker("rm", "-f", "at-work").well()
    wasmimg(docker.machine, "uninstall").well()


def kill_at_line(machine: Machine, number: int, *words: str) -> bool:
    """Kill a command as soon as it says its n-th operation; False if it had ended before."""
    process = machine.start("/opt/wasmimg/bin/wasmimg", *words)
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(number)]
    machine.run("pkill", "-KILL", "-f", f"wasmimg {words[0]}")
    process.communicate()
    return bool(lines[-1])


@pytest.mark.slow
@pytest.mark.parametrize("docker", ["docker-28.5"], indirect=True)
@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_command_killed_at_any_operation_is_undone(docker: DockerHost, verb: str) -> None:
    with configured(docker, USERS):
        before, known, known_images = content(docker.machine), runtimes(docker), images(docker)
        if verb == "uninstall":
            wasmimg(docker.machine, "install", "--no-proof").well()
        number = 1
        while kill_at_line(docker.machine, number, verb):
            wasmimg(docker.machine, "uninstall").well()
            assert content(docker.machine) == before
            assert (runtimes(docker), images(docker)) == (known, known_images)
            assert docker.docker("ps", "-aq").well() == ""
            if verb == "uninstall":
                wasmimg(docker.machine, "install", "--no-proof").well()
            number += 1
        assert number > 8
        wasmimg(docker.machine, "uninstall").well()
        assert content(docker.machine) == before


def test_a_proof_that_was_killed_leaves_nothing_for_long(docker: DockerHost) -> None:
    process = docker.machine.start("/opt/wasmimg/bin/wasmimg", "install")

    def left() -> bool:
        found = docker.docker("images", "-q", "wasmimg-proof").well()
        return bool(found) or process.poll() is not None

    until(left, "the proof has begun")
    docker.machine.run("pkill", "-KILL", "-f", "wasmimg install").well()
    process.communicate()
    wasmimg(docker.machine, "uninstall").well()
    assert docker.docker("images", "-q", "wasmimg-proof").well() == ""
    assert docker.docker("ps", "-aq").well() == ""


def test_another_image_store_is_asked_for_and_takes_a_restart(roots: None, archive: Path) -> None:
    with docker_host(FORKY, shim=False) as host:
        host.machine.path(DAEMON_JSON).write_bytes(b"{}")
        host.restart()
        host.docker("import", "-", "theirs", stdin=layer({"file": b""})).well()
        refused = wasmimg(host.machine, "install")
        assert refused.code == 3
        assert "its 1 image and 0 containers are not shown" in refused.err
        assert host.machine.path(DAEMON_JSON).read_bytes() == b"{}"
        done = wasmimg(host.machine, "install", "--yes")
        done.well()
        assert "systemctl restart docker" in done.err
        host.restart()
        assert "theirs" not in host.docker("images").well()
        assert "run a Wasm image" in wasmimg(host.machine, "install").err
        host.load(archive)
        ran = host.docker("run", "--rm", "--runtime", "wasmimg", "--platform", WASM, "test/hello")
        assert ran.well() == "hello"
        assert "systemctl restart docker" in wasmimg(host.machine, "uninstall").err
        assert host.machine.path(DAEMON_JSON).read_bytes() == b"{}"
        host.restart()
        assert "theirs" in host.docker("images").well()


def test_images_of_linux_run_without_another_image_store(roots: None) -> None:
    with docker_host(TRIXIE, shim=False) as host, configured(host, b"{}"):
        done = wasmimg(host.machine, "install", "--keep-image-store")
        done.well()
        assert "run a Wasm image under Docker" in done.err
        assert "containerd-snapshotter" not in host.machine.path(DAEMON_JSON).read_text()
        wasmimg(host.machine, "uninstall").well()


def test_a_configuration_that_docker_refuses_is_an_error(docker: DockerHost) -> None:
    with configured(docker, USERS):
        bad = b'{"features": {"containerd-snapshotter": true}, "no-such-option": 1}'
        docker.machine.path(DAEMON_JSON).write_bytes(bad)
        before = content(docker.machine)
        done = wasmimg(docker.machine, "install")
        assert done.code == 3
        assert f"dockerd refuses {DAEMON_JSON}: " in done.err
        assert "no-such-option" in done.err
        assert content(docker.machine) == before


def test_a_proof_that_fails_says_why_and_leaves_nothing(docker: DockerHost) -> None:
    docker.machine.run("sh", "-c", "rm -rf /run/wasmimg; touch /run/wasmimg").well()
    try:
        done = wasmimg(docker.machine, "install")
        assert done.code == 7
        assert "can't reach the zygote" in done.err.splitlines()[-2]
        assert "wasmimg uninstall" in done.err.splitlines()[-1]
        assert docker.docker("ps", "-aq").well() == ""
        assert docker.docker("images", "-q", "wasmimg-proof").well() == ""
    finally:
        docker.machine.path("/run/wasmimg").unlink()
    assert "run a Wasm image under Docker" in wasmimg(docker.machine, "install").err
    wasmimg(docker.machine, "uninstall").well()


def test_a_proof_that_fails_on_containerd_as_well(containerd: ContainerdHost) -> None:
    containerd.machine.run("sh", "-c", "rm -rf /run/wasmimg; touch /run/wasmimg").well()
    try:
        done = wasmimg(containerd.machine, "install", "--host", "containerd")
        assert done.code == 7
        assert "can't reach the zygote" in done.err.splitlines()[-2]
        assert "wasmimg-proof" not in containerd.ctr("namespaces", "ls", "-q").well()
        wasmimg(containerd.machine, "uninstall").well()
    finally:
        containerd.machine.path("/run/wasmimg").unlink()


def test_install_run_uninstall_on_containerd(containerd: ContainerdHost) -> None:
    before = content(containerd.machine)
    namespaces = containerd.ctr("namespaces", "ls", "-q").well()
    done = wasmimg(containerd.machine, "install", "--host", "containerd")
    done.well()
    assert "run a Wasm image under containerd" in done.err
    for name in ("wasmimg", "wasmedge", "wasmtime"):
        image = "docker.io/test/hello:latest"
        ran = containerd.ctr("run", "--rm", "--runtime", f"io.containerd.{name}.v1", image, name)
        assert ran.well() == "hello"
    wasmimg(containerd.machine, "uninstall").well()
    assert content(containerd.machine) == before
    assert containerd.ctr("namespaces", "ls", "-q").well() == namespaces


def test_a_running_task_keeps_uninstall_back(containerd: ContainerdHost) -> None:
    wasmimg(containerd.machine, "install", "--host", "containerd", "--no-proof").well()
    image = "docker.io/test/sleep:latest"
    containerd.ctr("run", "-d", "--runtime", RUNTIME, image, "at-work").well()
    refused = wasmimg(containerd.machine, "uninstall")
    assert refused.code == 3
    assert "default/at-work" in refused.err
    containerd.ctr("tasks", "rm", "--force", "at-work").well()
    containerd.ctr("containers", "rm", "at-work").well()
    wasmimg(containerd.machine, "uninstall").well()


def test_an_older_docker_is_refused(roots: None) -> None:
    """Debian 12 has none that could be started here, so only its program is there."""
    with containerd_host(BOOKWORM, shim=False) as host:
        program = host.machine.path("/usr/bin/dockerd")
        program.write_text("#!/bin/sh\necho Docker version 20.10.24+dfsg1, build 297e128\n")
        program.chmod(0o755)
        done = wasmimg(host.machine, "install")
        assert done.code == 7
        assert "Docker 20.10 can't run containerd shims" in done.err
        program.unlink()
