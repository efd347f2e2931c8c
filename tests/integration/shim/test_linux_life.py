"""Linux programs in the same shim, through runc."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from wasmimg_shim.client import RpcError
from wasmimg_shim.messages import TaskStatus
from wasmimg_shim.ttrpc.status import Code
from wasmimg_testing.shims import ShimHost, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("runc"), reason="needs runc"),
]


def process(*args: str) -> bytes:
    return json.dumps(
        {"args": args, "cwd": "/", "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0}}
    ).encode()


def test_a_linux_program_lives_and_leaves_nothing(host: ShimHost) -> None:
    script = "echo out; echo err >&2; exit 7"
    bundle = host.bundle("l1", "sh", "-c", script, host_programs=True)
    out, err = host.root / "out", host.root / "err"
    with host.shim(bundle) as shim:
        pid = shim.create("l1", bundle, stdout=str(out), stderr=f"file://{err}")
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        assert shim.state("l1").status == TaskStatus.CREATED
        assert shim.connect("l1").task_pid == pid
        assert shim.start("l1") == pid
        assert shim.wait("l1", timeout=20).status == 7
        shim.delete("l1")
        shim.shutdown()
    assert (out.read_text(), err.read_text()) == ("out\n", "err\n")
    assert not os.listdir(f"{host.run}/runc/test")
    left = set(os.listdir(bundle)) - {"runc.log"}
    assert left == {"address", "config.json", "rootfs"}


def test_an_engine_that_is_a_service_of_systemds_is_not_waited_for(host: ShimHost) -> None:
    """There runc would wait at start until the program had said that it was ready."""
    host.environment["NOTIFY_SOCKET"] = str(host.root / "notify")
    bundle = host.bundle("l1", "sleep", "3600", host_programs=True)
    with host.shim(bundle) as shim:
        pid = shim.create("l1", bundle)
        assert shim.start("l1") == pid
        shim.kill("l1", signal.SIGKILL)
        assert shim.wait("l1", timeout=20).status == 137
        shim.delete("l1")
        shim.shutdown()


def test_exec_runs_beside_init_and_ends_before_it(host: ShimHost) -> None:
    bundle = host.bundle("l1", "sleep", "3600", host_programs=True)
    out = host.root / "out"
    with host.shim(bundle) as shim:
        pid = shim.create("l1", bundle)
        with pytest.raises(RpcError) as refused:
            shim.exec("l1", "e1", process("true"))
        assert refused.value.code == Code.FAILED_PRECONDITION
        shim.start("l1")
        shim.exec("l1", "e1", process("sh", "-c", "echo in; exit 3"), stdout=str(out))
        assert shim.state("l1", "e1").status == TaskStatus.CREATED
        exec_pid = shim.start("l1", "e1")
        assert shim.wait("l1", "e1", timeout=20).status == 3
        assert shim.state("l1", "e1").pid == exec_pid
        shim.delete("l1", "e1")
        assert out.read_text() == "in\n"

        shim.exec("l1", "e2", process("sleep", "3600"))
        long = shim.start("l1", "e2")
        assert sorted(shim.pids("l1")) == sorted([pid, long])
        shim.exec("l1", "e3", process("sleep", "3600"))
        shim.start("l1", "e3")
        shim.kill("l1", signal.SIGTERM, exec_id="e3")
        assert shim.wait("l1", "e3", timeout=20).status == 143
        shim.kill("l1", signal.SIGKILL)
        assert shim.wait("l1", timeout=20).status == 137
        assert shim.wait("l1", "e2", timeout=20).at_ns <= shim.wait("l1").at_ns
        shim.delete("l1", "e2")
        shim.delete("l1")
        shim.shutdown()


def test_an_exec_that_cannot_start_is_over(host: ShimHost) -> None:
    bundle = host.bundle("l1", "sleep", "3600", host_programs=True)
    with host.shim(bundle) as shim:
        shim.create("l1", bundle)
        shim.start("l1")
        shim.exec("l1", "e1", process("no-such-program"))
        with pytest.raises(RpcError, match="executable file not found"):
            shim.start("l1", "e1")
        assert shim.wait("l1", "e1", timeout=5).status == 255
        shim.delete("l1", "e1")
        shim.kill("l1", signal.SIGKILL)
        shim.wait("l1", timeout=20)
        shim.delete("l1")
        shim.shutdown()


def test_kill_before_start(host: ShimHost) -> None:
    bundle = host.bundle("l1", "true", host_programs=True)
    with host.shim(bundle) as shim:
        pid = shim.create("l1", bundle)
        shim.kill("l1", signal.SIGKILL)
        assert shim.wait("l1", timeout=20).status == 137
        assert not Path(f"/proc/{pid}").exists()
        shim.delete("l1")
        shim.shutdown()


def test_standard_input_ends_with_close_io(host: ShimHost) -> None:
    bundle = host.bundle("l1", "cat", host_programs=True)
    fifo, out = str(host.root / "in"), host.root / "out"
    os.mkfifo(fifo)
    with host.shim(bundle) as shim:
        shim.create("l1", bundle, stdin=fifo, stdout=str(out))
        shim.start("l1")
        with open(fifo, "wb") as writer:
            writer.write(b"data")
        until(lambda: out.read_text() == "data")
        shim.close_stdin("l1")
        assert shim.wait("l1", timeout=20).status == 0
        shim.delete("l1")
        shim.shutdown()


def test_what_runc_refuses_is_said_in_its_words(host: ShimHost) -> None:
    bundle = host.bundle("l1", "true", host_programs=True)
    config = Path(bundle, "config.json")
    document = json.loads(config.read_text())
    document["process"]["cwd"] = "/dev/null/nowhere"
    config.write_text(json.dumps(document))
    with host.shim(bundle) as shim:
        with pytest.raises(RpcError, match="runc create failed"):
            shim.create("l1", bundle)
        shim.shutdown()
    assert not os.path.exists(f"{host.run}/runc/test") or not os.listdir(f"{host.run}/runc/test")
