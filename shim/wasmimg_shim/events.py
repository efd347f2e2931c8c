"""Telling containerd what happens: events forwarded to its ttrpc socket, in order.

An event is queued where it happens and sent by one job, one after the other, so that they arrive
in the order of the queue. Without an address (embedded callers have none) nothing is queued.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from wasmimg_shim import messages
from wasmimg_shim.loop import Event, readable, sleep, writable
from wasmimg_shim.ttrpc.client import ClientConnection
from wasmimg_shim.ttrpc.status import Code, ProtocolError, RpcError
from wasmimg_shim.wire import encode

if TYPE_CHECKING:
    from wasmimg_shim.loop import Loop
    from wasmimg_shim.shim_log import ShimLog

SERVICE = "containerd.services.events.ttrpc.v1.Events"
TOPICS: dict[type[tuple[object, ...]], str] = {
    messages.TaskCreate: "/tasks/create",
    messages.TaskStart: "/tasks/start",
    messages.TaskExit: "/tasks/exit",
    messages.TaskDelete: "/tasks/delete",
    messages.TaskExecAdded: "/tasks/exec-added",
    messages.TaskExecStarted: "/tasks/exec-started",
    messages.TaskOOM: "/tasks/oom",
}
#: containerd, pkg/shim/publisher.go: queue length, tries after the first, seconds for one answer
_QUEUE_MAX = 2048
_RETRIES = 5
_ANSWER_SECONDS = 5.0
_FLUSH_SECONDS = 5.0
_PORTION = 65536


class Publisher:
    """The queue of events and the connection they leave by."""

    def __init__(self, loop: Loop, address: str, namespace: str, log: ShimLog) -> None:
        self._path = address.removeprefix("unix://")
        self._namespace = namespace
        self._log = log
        self._queue: deque[bytes] = deque()
        self._queued = Event(loop)
        self._empty = Event(loop)
        self._empty.set()
        self._socket: socket.socket | None = None
        self._connection = ClientConnection()
        if self._path:
            loop.spawn(self._send_all())

    def publish(self, event: tuple[object, ...]) -> None:
        """Queue an event (a message of TOPICS); never waits."""
        if not self._path:
            return
        kind = type(event)
        envelope = messages.Envelope(
            messages.Timestamp.of(time.time_ns()),
            self._namespace,
            TOPICS[kind],
            messages.Any(f"containerd.events.{kind.__name__}", encode(event)),
        )
        if len(self._queue) >= _QUEUE_MAX:
            self._queue.popleft()
            self._log.error("event dropped: containerd takes none")
        self._queue.append(encode(messages.ForwardRequest(envelope)))
        self._empty.clear()
        self._queued.set()

    async def flush(self) -> None:
        """Wait until all events were taken, but not for ever."""
        await self._empty.wait(_FLUSH_SECONDS)

    async def _send_all(self) -> None:
        while True:
            await self._queued.wait()
            while self._queue:
                await self._send_first()
                self._queue.popleft()
            self._queued.clear()
            self._empty.set()

    async def _send_first(self) -> None:
        for attempt in range(1 + _RETRIES):
            try:
                await self._forward(self._queue[0])
            except RpcError as error:
                if error.code != Code.UNAVAILABLE:
                    self._log.error("containerd refused an event", error=error.message)
                    return
            except (OSError, ProtocolError) as error:
                self._disconnect()
                if attempt == _RETRIES:
                    self._log.error("can't deliver an event", error=error)
            else:
                return
            await sleep(attempt * 0.2)

    async def _forward(self, request: bytes) -> None:
        sock = self._socket or await self._connect()
        timeout_ns = int(_ANSWER_SECONDS * 1e9)
        metadata = (("containerd-namespace-ttrpc", self._namespace),)
        stream, data = self._connection.call(
            SERVICE, "Forward", request, timeout_ns=timeout_ns, metadata=metadata
        )
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except BlockingIOError:
                if not await writable(sock.fileno(), _ANSWER_SECONDS):
                    raise TimeoutError("containerd does not read") from None
        while True:
            if not await readable(sock.fileno(), _ANSWER_SECONDS):
                raise TimeoutError("containerd does not answer")
            portion = sock.recv(_PORTION)
            if not portion:
                raise ConnectionResetError("containerd closed the connection")
            for answer in self._connection.receive(portion):
                if answer.stream == stream:
                    answer.result()
                    return

    async def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.setblocking(False)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self._socket, self._connection = sock, ClientConnection()
        return sock

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
