"""What has brought other shims down under containerd: ends between Create and Start, and numbers."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from wasmimg_shim import messages
from wasmimg_testing.machines.containerd_api import CreateTaskRequest, Tasks
from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines import ContainerdHost


@pytest.fixture(autouse=True)
def nothing_left(containerd: ContainerdHost) -> Iterator[None]:
    before = Traces.of(containerd.machine)
    yield
    containerd.clear()
    vanish(containerd.machine, before, 60)


def command(containerd: ContainerdHost, *words: str) -> str:
    return shlex.join(["ctr", "run", *containerd.options(*words)])


def test_a_task_is_killed_between_create_and_start(containerd: ContainerdHost) -> None:
    containerd.machine.path("/srv/root").mkdir(exist_ok=True)
    containerd.machine.path("/srv/root/sleep.wasm").write_bytes(guest("sleep"))
    containerd.machine.run("mkfifo", "/run/out", "/run/err").well()
    containerd.create("test/sleep", "made").well()
    root = messages.Mount("bind", "/srv/root", "", ("rbind", "rw"))
    with Tasks(containerd) as tasks:
        request = CreateTaskRequest("made", rootfs=(root,), stdout="/run/out", stderr="/run/err")
        pid = tasks.create(request)
        listed = containerd.ctr("task", "ls").well().splitlines()[1:]
        assert [line.split() for line in listed] == [["made", str(pid), "CREATED"]]
        reader = os.open(containerd.machine.path("/run/out"), os.O_RDONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        tasks.kill("made", 9)
        assert tasks.wait("made") == 137
        assert os.read(reader, 1) == b""  # nobody holds the other end
        os.close(reader)
        assert tasks.delete("made") == 137
    containerd.machine.run("rm", "/run/out", "/run/err").well()


def test_seven_hundred_mounts_on_the_host(containerd: ContainerdHost) -> None:
    script = (
        "mkdir -p /mnt/many && cd /mnt/many && for n in $(seq 700); do"
        " mkdir $n && mount -t tmpfs -o size=4k many $n || exit 1; done"
    )
    containerd.machine.run("sh", "-c", script).well()
    try:
        assert containerd.run("--rm", "test/hello", "one") == (0, "hello\n", "")
    finally:
        containerd.machine.run("sh", "-c", "cd /mnt/many && umount * && rmdir *").well()


@pytest.mark.slow
def test_tasks_four_at_a_time(containerd: ContainerdHost, full: bool) -> None:
    number = 200 if full else 100
    words = command(containerd, "--rm", "docker.io/test/hello:latest", "many-N")
    script = f"seq {number} | xargs -P 4 -I N {words}"
    done = containerd.machine.run("sh", "-c", script, timeout=300)
    assert (done.code, done.out) == (0, "hello\n" * number), done.err


@pytest.mark.slow
def test_many_at_once(containerd: ContainerdHost, full: bool) -> None:
    number = 100 if full else 30
    words = command(containerd, "-d", "--null-io", "docker.io/test/sleep:latest", "at-once-N")
    script = f"seq {number} | xargs -P {number} -I N {words}"
    done = containerd.machine.run("sh", "-c", script, timeout=300)
    assert done.code == 0, done.err
    states = containerd.ctr("task", "ls").well().splitlines()[1:]
    assert [line.split()[2] for line in states] == ["RUNNING"] * number


@pytest.mark.slow
def test_a_gigabyte_of_output(containerd: ContainerdHost, full: bool) -> None:
    size = 1 << 30 if full else 1 << 27
    image = "docker.io/test/toolbox:latest"
    words = command(containerd, "--rm", image, "loud", "/toolbox.wasm", "flood", str(size))
    done = containerd.machine.run("sh", "-c", f"{words} | wc -c", timeout=300)
    assert done == (0, f"{size}\n", "")
