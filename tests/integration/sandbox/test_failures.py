"""Every failure names what failed, and leaves nothing (the fixture looks)."""

from __future__ import annotations

import os
import signal

import pytest

from wasmimg_images.errors import CannotInvoke, HostError, InvalidInput, RunError
from wasmimg_shim import sandbox
from wasmimg_shim.report import SandboxError
from wasmimg_testing.sandbox import Boxes, Function, reap
from wasmimg_testing.waiting import readable

pytestmark = pytest.mark.root


def nothing() -> None:
    return None


def test_a_missing_source_is_named(boxes: Boxes) -> None:
    missing = str(boxes.folder / "missing")
    boxes.configuration["mounts"].append(
        {"destination": "/data", "source": missing, "options": ["bind"]}
    )
    with pytest.raises(SandboxError, match=f"bind {missing} on /data.*No such file") as caught:
        boxes.run(nothing)
    assert caught.value.errno == 2


def test_a_missing_root_is_named(boxes: Boxes) -> None:
    boxes.rootfs.rmdir()
    with pytest.raises(SandboxError, match=f"{boxes.rootfs}.*No such file"):
        boxes.run(nothing)


def test_a_file_system_says_itself_what_it_did_not_like(boxes: Boxes) -> None:
    boxes.configuration["mounts"].append(
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["sizzle=3"]}
    )
    with pytest.raises(SandboxError, match=r"mount tmpfs on /t \(sizzle=3\).*Unknown parameter"):
        boxes.run(nothing)


def test_a_limit_that_the_host_refuses(boxes: Boxes) -> None:
    boxes.configuration["linux"]["resources"] = {"cpu": {"cpus": "4000"}}
    with pytest.raises(OSError, match=r"cpuset\.cpus"):
        boxes.spawn(Function(nothing))


def test_an_rlimit_above_the_hosts(boxes: Boxes) -> None:
    boxes.configuration["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}
    ]
    with pytest.raises(SandboxError, match="the host allows no RLIMIT_NOFILE"):
        boxes.run(nothing)


def test_a_namespace_that_is_not_there(boxes: Boxes) -> None:
    boxes.configuration["linux"]["namespaces"][4] = {"type": "network", "path": "/nowhere"}
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        boxes.spawn(Function(nothing))


def test_a_path_that_is_no_namespace(boxes: Boxes) -> None:
    boxes.configuration["linux"]["namespaces"][4] = {"type": "network", "path": "/dev/null"}
    with pytest.raises(SandboxError, match="namespaces: /dev/null"):
        boxes.run(nothing)


def test_a_program_that_can_not_load(boxes: Boxes) -> None:
    def load() -> None:
        raise CannotInvoke("/app.wasm: not a Wasm module", hint="look at it")

    with pytest.raises(CannotInvoke, match="not a Wasm module") as caught:
        boxes.run(nothing, load)
    assert caught.value.hint == "look at it"


def test_a_program_that_holds_a_host_folder(boxes: Boxes) -> None:
    def load() -> None:
        os.open("/", os.O_PATH)

    with pytest.raises(HostError, match="holds a directory of the host"):
        boxes.run(nothing, load)


def test_a_program_that_raises_ends_with_255(boxes: Boxes) -> None:
    def run() -> object:
        raise ValueError("what happened")

    ended = boxes.run(run)
    assert (ended.status, ended.errors) == (255, b"wasmimg: ValueError: what happened\n")


def test_init_killed_before_it_was_ready(boxes: Boxes) -> None:
    child = boxes.spawn(
        Function(nothing, load=lambda: os.kill(os.getpid(), signal.SIGSTOP) and None)
    )
    child.kill(signal.SIGKILL)
    assert readable(child.status_fd)
    with pytest.raises(SandboxError, match="died before it was ready"):
        child.confirm()


def test_no_answer_yet_blocks_nobody(boxes: Boxes) -> None:
    def wait() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        signal.sigwait({signal.SIGUSR1})

    child = boxes.spawn(Function(nothing, load=wait))
    with pytest.raises(BlockingIOError):
        child.confirm()
    child.kill(signal.SIGUSR1)
    assert readable(child.status_fd)
    child.confirm()


def test_start_after_the_end(boxes: Boxes) -> None:
    child = boxes.confirmed(Function(nothing))
    child.kill(signal.SIGKILL)
    assert reap(child) == -signal.SIGKILL
    with pytest.raises(RunError, match="died before it was started"):
        child.start()


def test_a_created_container_dies_with_its_shim(boxes: Boxes) -> None:
    child = boxes.confirmed(Function(nothing))
    os.close(child._control_fd)
    child._control_fd = -1
    assert reap(child) == 255


def test_a_bad_plan_touches_nothing(boxes: Boxes) -> None:
    boxes.configuration["linux"]["sysctl"] = {"kernel.panic": "1"}
    with pytest.raises(InvalidInput, match=r"kernel\.panic"):
        boxes.spawn(Function(nothing))
    assert not (boxes.bundle / sandbox.CGROUP_RECORD).exists()


def test_cleanup_may_be_repeated(boxes: Boxes) -> None:
    child = boxes.confirmed(Function(nothing))
    child.kill(signal.SIGKILL)
    reap(child)
    child.cleanup()
    child.cleanup()
