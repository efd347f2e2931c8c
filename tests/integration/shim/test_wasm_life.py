"""The life of a Wasm container, walked through a real shim."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from wasmimg_shim.client import PendingWait, RpcError
from wasmimg_shim.messages import TaskStatus
from wasmimg_shim.ttrpc.status import Code
from wasmimg_testing.shims import ShimHost, guest, until

pytestmark = pytest.mark.root


def test_a_container_lives_and_leaves_nothing(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    log = host.root / "out"
    address = host.start(bundle)
    with host.shim(bundle) as shim:
        pid = shim.create("c1", bundle, stdout=str(log), stderr=str(log))
        own = os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{pid}/ns/net") != own, "Docker moves this pid's network"
        connected = shim.connect("c1")
        assert connected.task_pid == pid
        assert shim.state("c1").status == TaskStatus.CREATED
        assert shim.pids("c1") == [pid]
        waiting = PendingWait(address, "c1")
        assert shim.start("c1") == pid
        end = waiting.result(20)
        waiting.close()
        assert end.status == 0
        assert shim.wait("c1") == end
        stopped = shim.state("c1")
        assert (stopped.status, stopped.pid, stopped.exit_status) == (TaskStatus.STOPPED, pid, 0)
        assert shim.delete("c1") == end
        shim.shutdown()
        until(lambda: not Path(f"/proc/{connected.shim_pid}/environ").exists())
    assert log.read_text() == "hello\n"
    assert not Path(address.removeprefix("unix://")).exists()
    assert sorted(os.listdir(bundle)) == ["address", "config.json", "rootfs"]
    assert Path(bundle, "address").read_text() == address


@pytest.mark.parametrize(("kind", "status"), [("exit42", 42), ("trap", 134)])
def test_the_exit_code_is_the_guests(host: ShimHost, kind: str, status: int) -> None:
    bundle = host.wasm("c1", kind)
    log = host.root / "out"
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, stdout=str(log), stderr=str(log))
        shim.start("c1")
        assert shim.wait("c1", timeout=20).status == status
        shim.delete("c1")
        shim.shutdown()
    if kind == "trap":
        assert "unreachable" in log.read_text()


def test_another_export_can_be_the_entrypoint(host: ShimHost) -> None:
    bundle = host.bundle("c1", "/app.wasm#quiet", files={"app.wasm": guest("exit42")})
    with host.shim(bundle) as shim:
        shim.create("c1", bundle)
        shim.start("c1")
        assert shim.wait("c1", timeout=20).status == 0
        shim.delete("c1")
        shim.shutdown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_ends_it_with_128_plus_its_number(host: ShimHost, number: int) -> None:
    bundle = host.wasm("c1", "sleep")
    with host.shim(bundle) as shim:
        shim.create("c1", bundle)
        shim.start("c1")
        with pytest.raises(RpcError) as refused:
            shim.delete("c1")
        assert refused.value.code == Code.FAILED_PRECONDITION
        shim.kill("c1", number)
        assert shim.wait("c1", timeout=20).status == 128 + number
        with pytest.raises(RpcError) as refused:
            shim.kill("c1", signal.SIGKILL)
        assert refused.value.code == Code.NOT_FOUND
        shim.delete("c1")
        shim.shutdown()


def test_kill_before_start_completes_wait_and_frees_the_fifos(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    fifos = [str(host.root / name) for name in ("in", "out", "err")]
    for fifo in fifos:
        os.mkfifo(fifo)
    readers = [os.open(fifo, os.O_RDONLY | os.O_NONBLOCK) for fifo in fifos[1:]]
    with host.shim(bundle) as shim:
        pid = shim.create("c1", bundle, stdin=fifos[0], stdout=fifos[1], stderr=fifos[2])
        for reader in readers:
            with pytest.raises(BlockingIOError):
                os.read(reader, 1)
        shim.kill("c1", signal.SIGKILL)
        assert shim.wait("c1", timeout=10).status == 137
        for reader in readers:
            assert os.read(reader, 1) == b"", "somebody still has the FIFO open for writing"
            os.close(reader)
        with pytest.raises(OSError, match="No such device"):
            os.open(fifos[0], os.O_WRONLY | os.O_NONBLOCK)
        assert not Path(f"/proc/{pid}").exists()
        shim.delete("c1")
        shim.shutdown()


def test_delete_before_start_kills(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    with host.shim(bundle) as shim:
        pid = shim.create("c1", bundle)
        assert shim.delete("c1").status == 137
        assert not Path(f"/proc/{pid}").exists()
        shim.shutdown()


def test_standard_input_ends_with_close_io(host: ShimHost) -> None:
    bundle = host.wasm("c1", "cat")
    fifo, log = str(host.root / "in"), host.root / "out"
    os.mkfifo(fifo)
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, stdin=fifo, stdout=str(log))
        shim.start("c1")
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, b"one\ntwo\n")
        until(lambda: log.read_text() == "one\ntwo\n")
        shim.close_stdin("c1")
        assert shim.state("c1").status == TaskStatus.RUNNING, "the writer is still there"
        os.close(writer)
        assert shim.wait("c1", timeout=10).status == 0
        shim.delete("c1")
        shim.shutdown()


def test_calls_that_make_no_sense_get_their_codes(host: ShimHost) -> None:
    bundle = host.wasm("c1", "sleep")
    with host.shim(bundle) as shim:
        refusals: list[int] = []

        def refused(call: object) -> None:
            with pytest.raises(RpcError) as error:
                call()  # type: ignore[operator]
            refusals.append(error.value.code)

        refused(lambda: shim.state("c1"))
        shim.create("c1", bundle)
        refused(lambda: shim.create("c1", bundle))
        refused(lambda: shim.exec("c1", "e1", b"{}"))
        refused(lambda: shim.state("c1", "e1"))
        refused(lambda: shim.kill("c1", 99))
        refused(lambda: shim.create("../c2", bundle))
        refused(lambda: shim.call("Checkpoint", b""))
        shim.start("c1")
        refused(lambda: shim.start("c1"))
        shim.shutdown()
        assert shim.state("c1").status == TaskStatus.RUNNING, "shutdown waits for containers"
        shim.kill("c1", signal.SIGKILL)
        shim.wait("c1")
        refused(lambda: shim.start("c1"))
        shim.delete("c1")
        refused(lambda: shim.delete("c1"))
        shim.shutdown()
    assert refusals == [
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.UNIMPLEMENTED,
        Code.NOT_FOUND,
        Code.INVALID_ARGUMENT,
        Code.INVALID_ARGUMENT,
        Code.UNIMPLEMENTED,
        Code.FAILED_PRECONDITION,
        Code.FAILED_PRECONDITION,
        Code.NOT_FOUND,
    ]


@pytest.mark.parametrize(
    ("word", "files", "text"),
    [
        ("/gone.wasm", {}, "no such file or directory"),
        ("gone", {}, "executable file not found in $PATH"),
        ("/text", {"text": b"hello"}, "neither a Wasm module nor a Linux program"),
        ("/prog", {"prog": b"#!/bin/sh\n"}, "permission denied"),
        ("/usr", {}, "no such file or directory"),
        ("/", {}, "is a directory"),
        ("/bad.wasm", {"bad.wasm": b"\0asm\1\0\0\0junk"}, "bad.wasm"),
    ],
)
def test_what_cannot_run_is_refused_at_create(
    host: ShimHost, word: str, files: dict[str, bytes], text: str
) -> None:
    bundle = host.bundle("c1", word, files=files)
    before = sorted(os.listdir(bundle))
    with host.shim(bundle) as shim:
        with pytest.raises(RpcError, match=text.replace("$", r"\$")):
            shim.create("c1", bundle)
        shim.shutdown()
    assert sorted(os.listdir(bundle)) == sorted([*before, "address"])


def test_standard_input_ends_with_its_writer(host: ShimHost) -> None:
    bundle = host.wasm("c1", "cat")
    fifo, log = str(host.root / "in"), host.root / "out"
    os.mkfifo(fifo)
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, stdin=fifo, stdout=str(log))
        with open(fifo, "wb") as writer:
            writer.write(b"before the start\n")
        shim.start("c1")
        assert shim.wait("c1", timeout=10).status == 0
        assert log.read_text() == "before the start\n"
        shim.delete("c1")
        shim.shutdown()
