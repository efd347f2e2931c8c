"""Events arrive in the order that containerd demands, also when it was away for a while."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest

from wasmimg_shim import messages
from wasmimg_shim.ttrpc.server import ServerConnection
from wasmimg_shim.wire import decode
from wasmimg_testing.shims import NAMESPACE, ShimHost, until

pytestmark = pytest.mark.root

EVENTS = {
    "/tasks/create": messages.TaskCreate,
    "/tasks/start": messages.TaskStart,
    "/tasks/exit": messages.TaskExit,
    "/tasks/delete": messages.TaskDelete,
    "/tasks/exec-added": messages.TaskExecAdded,
    "/tasks/exec-started": messages.TaskExecStarted,
    "/tasks/oom": messages.TaskOOM,
}


class Containerd:
    """The end that takes events, and hangs up after each `per_connection` of them."""

    def __init__(self, path: str, per_connection: int = 1000) -> None:
        self.received: list[tuple[str, tuple[object, ...]]] = []
        self._per_connection = per_connection
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def topics(self) -> list[str]:
        return [topic for topic, _ in self.received]

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        connection, taken = ServerConnection(), 0
        while taken < self._per_connection and (data := sock.recv(65536)):
            calls, _ = connection.receive(data)
            for call in calls:
                assert call.service == "containerd.services.events.ttrpc.v1.Events"
                assert call.method == "Forward"
                assert ("containerd-namespace-ttrpc", NAMESPACE) in call.metadata
                envelope = decode(messages.ForwardRequest, call.payload).envelope
                assert envelope is not None
                assert envelope.event is not None
                assert envelope.timestamp is not None
                assert envelope.namespace == NAMESPACE
                kind = EVENTS[envelope.topic]
                assert envelope.event.type_url == f"containerd.events.{kind.__name__}"
                self.received.append((envelope.topic, decode(kind, envelope.event.value)))
                sock.sendall(connection.reply(call.stream, b""))
                taken += 1


@pytest.mark.parametrize("per_connection", [1000, 1])
def test_the_events_of_a_wasm_container(host: ShimHost, per_connection: int) -> None:
    path = str(host.root / "events")
    containerd = Containerd(path, per_connection)
    bundle = host.wasm("c1", "exit42")
    with host.shim(bundle, TTRPC_ADDRESS=path) as shim:
        pid = shim.create("c1", bundle, stdout=str(host.root / "out"))
        shim.start("c1")
        end = shim.wait("c1", timeout=20)
        shim.delete("c1")
        shim.shutdown()
    until(lambda: len(containerd.received) == 4)
    containerd.close()
    at = messages.Timestamp.of(end.at_ns)
    io = messages.TaskIO(stdout=str(host.root / "out"))
    assert containerd.received == [
        ("/tasks/create", messages.TaskCreate("c1", bundle, io=io, pid=pid)),
        ("/tasks/start", messages.TaskStart("c1", pid)),
        ("/tasks/exit", messages.TaskExit("c1", "c1", pid, 42, at)),
        ("/tasks/delete", messages.TaskDelete("c1", pid, 42, at)),
    ]


def test_the_exit_of_an_exec_comes_before_that_of_its_container(host: ShimHost) -> None:
    path = str(host.root / "events")
    containerd = Containerd(path)
    bundle = host.bundle("l1", "sleep", "3600", host_programs=True)
    process = b'{"args": ["sleep", "3600"], "cwd": "/", "env": ["PATH=/usr/bin"]}'
    with host.shim(bundle, TTRPC_ADDRESS=path) as shim:
        shim.create("l1", bundle)
        shim.start("l1")
        shim.exec("l1", "e1", process)
        shim.start("l1", "e1")
        shim.kill("l1", signal.SIGKILL)
        shim.wait("l1", timeout=20)
        shim.delete("l1", "e1")
        shim.delete("l1")
        shim.shutdown()
    until(lambda: len(containerd.received) == 7)
    containerd.close()
    topics = containerd.topics()
    assert topics == [
        *("/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started"),
        *("/tasks/exit", "/tasks/exit", "/tasks/delete"),
    ]
    exits = [event for _, event in containerd.received if isinstance(event, messages.TaskExit)]
    assert [event.id for event in exits] == ["e1", "l1"]


def test_events_wait_for_a_containerd_that_is_away(host: ShimHost) -> None:
    path = str(host.root / "events")
    bundle = host.wasm("c1", "sleep")
    with host.shim(bundle, TTRPC_ADDRESS=path) as shim:
        shim.create("c1", bundle)
        containerd = Containerd(path)
        shim.start("c1")
        shim.kill("c1", signal.SIGKILL)
        shim.wait("c1", timeout=20)
        shim.delete("c1")
        shim.shutdown()
    until(lambda: len(containerd.received) == 4)
    containerd.close()
    assert containerd.topics() == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]


def test_nothing_waits_for_a_containerd_that_never_comes(host: ShimHost) -> None:
    bundle = host.wasm("c1", "hello")
    with host.shim(bundle, TTRPC_ADDRESS=str(host.root / "nowhere")) as shim:
        shim.create("c1", bundle)
        shim.start("c1")
        assert shim.wait("c1", timeout=20).status == 0
        shim.delete("c1")
        shim.shutdown()


@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
def test_a_linux_container_that_runs_out_of_memory_is_told_of_at_once(host: ShimHost) -> None:
    path = str(host.root / "events")
    containerd = Containerd(path)
    script = "tail /dev/zero; echo survived; read on; exec tail /dev/zero"
    bundle = host.bundle("l1", "sh", "-c", script, host_programs=True)
    config = Path(bundle, "config.json")
    document = json.loads(config.read_text())
    limit = 32 << 20
    document["linux"]["resources"] = {"memory": {"limit": limit, "swap": limit}}
    config.write_text(json.dumps(document))
    fifo, out = str(host.root / "in"), host.root / "out"
    os.mkfifo(fifo)
    with host.shim(bundle, TTRPC_ADDRESS=path) as shim:
        pid = shim.create("l1", bundle, stdin=fifo, stdout=str(out))
        shim.start("l1")
        until(lambda: out.read_text() == "survived\n")
        until(lambda: "/tasks/oom" in containerd.topics())
        Path(fifo).write_text("on\n")
        assert shim.wait("l1", timeout=20).status == 137
        shim.delete("l1")
        shim.shutdown()
    until(lambda: "/tasks/delete" in containerd.topics())
    containerd.close()
    topics = containerd.topics()
    assert topics[:3] == ["/tasks/create", "/tasks/start", "/tasks/oom"]
    assert topics[-2:] == ["/tasks/exit", "/tasks/delete"]
    assert set(topics[3:-2]) <= {"/tasks/oom"}
    assert ("/tasks/oom", messages.TaskOOM("l1")) in containerd.received
    assert not Path(f"/proc/{pid}").exists()
