"""Loggers of Wasm and Linux containers, and of execs, in a real shim."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmimg_shim.client import RpcError
from wasmimg_testing.shims import ShimHost, processes, until

pytestmark = pytest.mark.root

needs_runc = pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
READY = "exec 5>&-; "


def logger(host: ShimHost, script: str, scheme: str = "binary") -> str:
    path = host.root / "logger"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{scheme}://{path}?to={host.root}/log"


#: slow to end, so that who does not wait for it sees nothing
COPY = (
    f'PATH=/usr/bin:/bin; {READY} {{ cat <&3 | sed "s/^/out $CONTAINER_ID /";'
    ' cat <&4 | sed "s/^/err $CONTAINER_ID /"; sleep 0.2; } > "$2.part"; mv "$2.part" "$2"'
)


def of_wasm(host: ShimHost) -> str:
    return host.wasm("c1", "hello")


def of_linux(host: ShimHost) -> str:
    return host.bundle("c1", "sh", "-c", "echo hello; echo oh >&2", host_programs=True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (of_wasm, "out c1 hello\n"),
        pytest.param(of_linux, "out c1 hello\nerr c1 oh\n", marks=needs_runc),
    ],
)
@pytest.mark.parametrize("scheme", ["binary", "binary-v2"])
def test_delete_waits_until_all_is_logged(
    host: ShimHost, make: Callable[[ShimHost], str], said: str, scheme: str
) -> None:
    uri = logger(host, COPY.replace(READY, "printf x >&5; " + READY), scheme)
    bundle = make(host)
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, stdout=uri, stderr=uri)
        shim.start("c1")
        assert shim.wait("c1", timeout=20).status == 0
        shim.delete("c1")
        assert (host.root / "log").read_text() == said
        assert not processes(str(host.root / "logger"))
        shim.shutdown()


@needs_runc
def test_an_exec_has_a_logger_of_its_own(host: ShimHost) -> None:
    uri = logger(host, COPY)
    bundle = host.bundle("c1", "sleep", "3600", host_programs=True)
    process = json.dumps({"args": ["echo", "in"], "cwd": "/", "env": ["PATH=/usr/bin"]}).encode()
    with host.shim(bundle) as shim:
        shim.create("c1", bundle)
        shim.start("c1")
        shim.exec("c1", "e1", process, stdout=uri, stderr=uri)
        shim.start("c1", "e1")
        assert shim.wait("c1", "e1", timeout=20).status == 0
        shim.delete("c1", "e1")
        assert (host.root / "log").read_text() == "out e1 in\n"
        with pytest.raises(RpcError, match="/nowhere/logger: No such file"):
            shim.exec("c1", "e2", process, stdout="binary:///nowhere/logger")
        shim.kill("c1", signal.SIGKILL)
        shim.wait("c1", timeout=20)
        shim.delete("c1")
        shim.shutdown()


@pytest.mark.parametrize("make", [of_wasm, pytest.param(of_linux, marks=needs_runc)])
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "ended with status 3 before it was ready"),
        (None, "Permission denied"),
    ],
)
def test_a_logger_that_fails_fails_create_and_leaves_nothing(
    host: ShimHost, make: Callable[[ShimHost], str], script: str | None, why: str
) -> None:
    uri = logger(host, script or "")
    if script is None:
        (host.root / "logger").chmod(0o644)
    bundle = make(host)
    before = sorted(os.listdir(bundle))
    fifo = str(host.root / "in")
    os.mkfifo(fifo)
    with host.shim(bundle) as shim:
        with pytest.raises(RpcError, match=why) as refused:
            shim.create("c1", bundle, stdin=fifo, stdout=uri, stderr=uri)
        assert f"logger {host.root}/logger" in str(refused.value)
        assert sorted(os.listdir(bundle)) == sorted([*before, "address"])
        assert not processes(str(host.root / "logger"))
        with pytest.raises(OSError, match="No such device"):
            os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        shim.create("c1", bundle)
        shim.kill("c1", signal.SIGKILL)
        shim.wait("c1", timeout=20)
        shim.delete("c1")
        shim.shutdown()


def test_others_are_served_while_a_logger_takes_its_time(host: ShimHost) -> None:
    gate = host.root / "gate"
    os.mkfifo(gate)
    uri = logger(host, f"read go < {gate}; {READY} cat <&3 > $2")
    annotations = {"io.kubernetes.cri.sandbox-id": "pod"}
    bundles = [host.wasm(name, "hello") for name in ("a", "b")]
    for bundle in bundles:
        config = Path(bundle, "config.json")
        document = json.loads(config.read_text())
        config.write_text(json.dumps({**document, "annotations": annotations}))
    address = host.start(bundles[0])
    assert host.start(bundles[1]) == address
    with host.shim(bundles[0]) as slow, host.shim(bundles[1]) as quick:
        creating = threading.Thread(
            target=slow.create, args=("a", bundles[0]), kwargs={"stdout": uri}
        )
        creating.start()
        quick.create("b", bundles[1])
        quick.start("b")
        assert quick.wait("b", timeout=20).status == 0
        quick.delete("b")
        gate.write_text("go\n")
        creating.join()
        slow.start("a")
        assert slow.wait("a", timeout=20).status == 0
        slow.delete("a")
        slow.shutdown()
    assert (host.root / "log").read_text() == "hello\n"


def test_a_logger_that_dies_ends_no_container(host: ShimHost) -> None:
    uri = logger(host, f"echo $$ > {host.root}/pid; {READY} exec cat <&3 > $2")
    bundle = host.wasm("c1", "cat")
    fifo = str(host.root / "in")
    os.mkfifo(fifo)
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, stdin=fifo, stdout=uri, stderr=uri)
        shim.start("c1")
        with open(fifo, "wb", buffering=0) as writer:
            writer.write(b"one\n")
            until(lambda: (host.root / "log").read_text() == "one\n")
            os.kill(int((host.root / "pid").read_text()), signal.SIGKILL)
            writer.writelines([bytes(1 << 14)] * 64)  # many times what the pipes hold
        assert shim.wait("c1", timeout=20).status == 0
        shim.delete("c1")
        shim.shutdown()


def test_a_killed_shim_takes_its_loggers_along(host: ShimHost) -> None:
    uri = logger(host, f"{READY} cat <&3 > $2")
    bundle = host.wasm("c1", "sleep")
    with host.shim(bundle) as shim:
        shim.create("c1", bundle, stdout=uri, stderr=uri)
        shim.start("c1")
        os.kill(shim.connect("c1").shim_pid, signal.SIGKILL)
    assert host.command(bundle, "delete").returncode == 0
    until(lambda: not processes(str(host.root / "logger")))
