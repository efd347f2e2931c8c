"""containerd's own calls, for what its command line can't ask: a task between Create and Start."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wasmimg_shim import messages
from wasmimg_shim.grpc.connection import ClientConnection
from wasmimg_shim.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

    from wasmimg_testing.machines.containerd import ContainerdHost

M = TypeVar("M", bound=tuple[object, ...])
_TASKS = "/containerd.services.tasks.v1.Tasks"
_PORTION = 65536


class CreateTaskRequest(NamedTuple):
    """containerd.services.tasks.v1.CreateTaskRequest; the second number is free."""

    container_id: str = ""
    unused: str = ""
    rootfs: tuple[messages.Mount, ...] = ()
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""


class CreateTaskResponse(NamedTuple):
    """containerd.services.tasks.v1.CreateTaskResponse."""

    container_id: str = ""
    pid: int = 0


class DeleteResponse(NamedTuple):
    """containerd.services.tasks.v1.DeleteResponse."""

    id: str = ""
    pid: int = 0
    exit_status: int = 0


class Tasks:
    """containerd.services.tasks.v1.Tasks of a host, in the namespace of its command line."""

    def __init__(self, host: ContainerdHost) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(host.machine.path("/run/containerd/containerd.sock")))
        self._connection = ClientConnection((("containerd-namespace", "default"),))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def create(self, request: CreateTaskRequest) -> int:
        """Make a task of a container; gives its pid."""
        return self._call("Create", request, CreateTaskResponse).pid

    def kill(self, container: str, signal: int) -> None:
        """Send a signal."""
        self._call("Kill", messages.KillRequest(container, "", signal), messages.Empty)

    def wait(self, container: str) -> int:
        """Wait for the task's end; gives its exit status."""
        request = messages.ProcessRequest(container)
        return self._call("Wait", request, messages.WaitResponse).exit_status

    def delete(self, container: str) -> int:
        """Delete the task; gives its exit status."""
        request = messages.ProcessRequest(container)
        return self._call("Delete", request, DeleteResponse).exit_status

    def _call(self, method: str, request: tuple[object, ...], kind: type[M]) -> M:
        (answer,) = self._messages(f"{_TASKS}/{method}", encode(request))
        return decode(kind, answer)

    def _messages(self, method: str, request: bytes) -> Generator[bytes]:
        self._connection.call(method, request)
        self._socket.sendall(self._connection.outgoing())
        while not self._connection.finished:
            portion = self._socket.recv(_PORTION)
            assert portion, f"{method}: the connection was closed"
            yield from self._connection.receive(portion)
            self._socket.sendall(self._connection.outgoing())
