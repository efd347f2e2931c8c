"""What has brought other shims down under Docker: failures between Create and Start, and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines import DockerHost

WASM = "--runtime io.containerd.wasmimg.v1 --platform wasi/wasm"


@pytest.fixture(autouse=True)
def nothing_left(docker: DockerHost) -> Iterator[None]:
    before = Traces.of(docker.machine)
    yield
    docker.clear()
    vanish(docker.machine, before, 60)


def test_a_network_that_fails_after_create_hangs_nothing(docker: DockerHost) -> None:
    docker.run("-d", "--name", "holder", "-p", "8099:80", "test/sleep").well()
    done = docker.run("--name", "late", "-p", "8099:80", "test/sleep", timeout=60)
    assert (done.code, "port is already allocated" in done.err) == (125, True), done
    assert docker.state("late")["Running"] is False
    docker.docker("rm", "late").well()


def test_a_name_that_is_taken_on_the_network_hangs_nothing(docker: DockerHost) -> None:
    docker.docker("network", "create", "--subnet", "10.78.0.0/24", "small").well()
    one = ("-d", "--network", "small", "--ip", "10.78.0.9", "test/sleep")
    docker.run("--name", "one", *one).well()
    done = docker.run("--name", "two", *one, timeout=60)
    assert (done.code, "Address already in use" in done.err) == (125, True), done
    assert docker.state("two")["Running"] is False


def test_a_broken_config_hangs_nothing(docker: DockerHost) -> None:
    done = docker.run("--rm", "--device-cgroup-rule", "c 1:3 rwm", "test/hello")
    assert done == (0, "hello\n", "")
    done = docker.run("--rm", "--userns", "host", "test/hello")
    assert done == (0, "hello\n", "")
    done = docker.run("--rm", "-v", "/no/such/file:/hello.wasm", "test/hello")
    assert done.code == 126, done


def test_seven_hundred_mounts_on_the_host(docker: DockerHost) -> None:
    script = (
        "mkdir -p /mnt/many && cd /mnt/many && for n in $(seq 700); do"
        " mkdir $n && mount -t tmpfs -o size=4k many $n || exit 1; done"
    )
    docker.machine.run("sh", "-c", script).well()
    try:
        for network in ("none", "bridge"):
            assert docker.run("--rm", "--network", network, "test/hello") == (0, "hello\n", "")
    finally:
        docker.machine.run("sh", "-c", "cd /mnt/many && umount * && rmdir *").well()


@pytest.mark.slow
def test_starts_on_a_bridge_in_a_row(docker: DockerHost, full: bool) -> None:
    number = 200 if full else 50
    script = f"for n in $(seq {number}); do docker run --rm {WASM} test/hello || exit 1; done"
    done = docker.machine.run("sh", "-c", script, timeout=300)
    assert done == (0, "hello\n" * number, "")


@pytest.mark.slow
def test_containers_four_at_a_time(docker: DockerHost, full: bool) -> None:
    number = 200 if full else 40
    script = f"seq {number} | xargs -P 4 -I N docker run --rm {WASM} --name many-N test/hello"
    done = docker.machine.run("sh", "-c", script, timeout=300)
    assert done == (0, "hello\n" * number, "")


@pytest.mark.slow
def test_many_at_once(docker: DockerHost, full: bool) -> None:
    number = 100 if full else 30
    script = (
        f"seq {number} | xargs -P {number} -I N docker run -d {WASM} --name at-once-N test/sleep"
    )
    done = docker.machine.run("sh", "-c", script, timeout=300)
    assert done.code == 0, done.err
    running = docker.docker("ps", "-q", "--filter", "status=running").well().split()
    assert len(running) == number
    docker.docker("stop", *running, timeout=300).well()
    listed = docker.docker("ps", "-a", "--format", "{{.Status}}").well().splitlines()
    assert all(line.startswith("Exited (143)") for line in listed), listed


@pytest.mark.slow
def test_a_gigabyte_of_log(docker: DockerHost, full: bool) -> None:
    size = 1 << 30 if full else 1 << 27
    options = ("-d", "--name", "loud", "--log-opt", "max-size=20m")
    docker.run(*options, "test/toolbox", "flood", str(size)).well()
    until(lambda: docker.state("loud")["Running"] is False, "it has said all", 200)
    assert docker.state("loud")["ExitCode"] == 0
