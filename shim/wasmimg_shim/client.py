"""A blocking client of a shim, for callers without containerd: the supervisor and the tests.

One client makes one call at a time. A Wait that is to go on beside other calls has a connection of
its own: `PendingWait`.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wasmimg_shim import messages, zygote_socket
from wasmimg_shim.ttrpc.client import ClientConnection
from wasmimg_shim.ttrpc.status import Code, RpcError
from wasmimg_shim.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

SERVICE = "containerd.task.v2.Task"
PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process"
#: poll(2) counts milliseconds in 31 bits.
_LONGEST_POLL = 1_000_000.0
M = TypeVar("M", bound=tuple[object, ...])


class Exit(NamedTuple):
    """How a process ended: its status (128+n for signal n), and when, in ns since 1970."""

    status: int
    at_ns: int


class ShimGone(ConnectionError):
    """The shim closed the connection or can't be reached: it has ended or was killed."""


def _dial(address: str, timeout: float | None) -> socket.socket:
    path = address.removeprefix("unix://")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.settimeout(timeout)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise ShimGone(f"no shim answers at {address}: {error}") from error
    return sock


def connect(address: str, *, timeout: float = 30.0) -> TaskClient:
    """Connect to the `unix://` address that the start verb printed; raises ShimGone.

    `timeout` (seconds) is the longest that a call may take, but for wait().
    """
    return TaskClient(_dial(address, timeout), timeout)


def release_zygote(run_dir: str) -> int:
    """Ask the zygotes of this run directory to end once they have no children; return how many.

    A zygote that is asked to start a shim before that stays.
    """
    return sum(zygote_socket.release(path) for path in zygote_socket.sockets(run_dir))


class TaskClient:
    """One connection to a shim's Task service. Calls raise RpcError, ShimGone or TimeoutError."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._sock = sock
        self._timeout = timeout
        self._connection = ClientConnection()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the shim and its containers stay."""
        self._sock.close()

    def create(
        self,
        container: str,
        bundle: str,
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
        rootfs: Sequence[messages.Mount] = (),
    ) -> int:
        """Make a container of a bundle and return the pid of its init, which waits for start().

        stdin, stdout, stderr: path of a FIFO, of a file to append to, or empty for none.
        """
        request = messages.CreateTaskRequest(
            container, bundle, tuple(rootfs), terminal, stdin, stdout, stderr
        )
        return self._call("Create", request, messages.PidResponse).pid

    def start(self, container: str, exec_id: str = "") -> int:
        """Let a created container, or an exec added to it, run; return its pid."""
        request = messages.ProcessRequest(container, exec_id)
        return self._call("Start", request, messages.PidResponse).pid

    def state(self, container: str, exec_id: str = "") -> messages.StateResponse:
        """Return what is known of a process."""
        request = messages.ProcessRequest(container, exec_id)
        return self._call("State", request, messages.StateResponse)

    def wait(self, container: str, exec_id: str = "", *, timeout: float | None = None) -> Exit:
        """Wait until a process has ended; `timeout` in seconds, None for ever."""
        request = messages.ProcessRequest(container, exec_id)
        return _exit(self._call("Wait", request, messages.WaitResponse, timeout=timeout))

    def kill(
        self, container: str, signal: int, *, exec_id: str = "", everyone: bool = False
    ) -> None:
        """Send a signal to a process, or to every process of the container."""
        request = messages.KillRequest(container, exec_id, signal, everyone)
        self._call("Kill", request, messages.Empty)

    def delete(self, container: str, exec_id: str = "") -> Exit:
        """Forget a process that has ended, and undo what its making did."""
        request = messages.ProcessRequest(container, exec_id)
        reply = self._call("Delete", request, messages.DeleteResponse)
        return _exit(messages.WaitResponse(reply.exit_status, reply.exited_at))

    def pids(self, container: str) -> list[int]:
        """Return the pids of the container's processes."""
        reply = self._call("Pids", messages.ProcessRequest(container), messages.PidsResponse)
        return [process.pid for process in reply.processes]

    def exec(
        self,
        container: str,
        exec_id: str,
        process: bytes,
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
    ) -> None:
        """Add a process (OCI `process` as JSON) to a running container; start() lets it run."""
        spec = messages.Any(PROCESS_TYPE, process)
        request = messages.ExecProcessRequest(
            container, exec_id, stdin=stdin, stdout=stdout, stderr=stderr, spec=spec
        )
        self._call("Exec", request, messages.Empty)

    def close_stdin(self, container: str, exec_id: str = "") -> None:
        """Say that nothing more will be written to a process's standard input."""
        request = messages.CloseIORequest(container, exec_id, stdin=True)
        self._call("CloseIO", request, messages.Empty)

    def connect(self, container: str) -> messages.ConnectResponse:
        """Return the shim's pid and the init's."""
        return self._call("Connect", messages.ProcessRequest(container), messages.ConnectResponse)

    def shutdown(self, container: str = "") -> None:
        """Let the shim end if it has no containers left."""
        self._call("Shutdown", messages.ShutdownRequest(container), messages.Empty)

    def _call(
        self,
        method: str,
        request: tuple[object, ...],
        answer: type[M],
        *,
        timeout: float | None = -1,
    ) -> M:
        return decode(answer, self.call(method, encode(request), timeout=timeout))

    def call(self, method: str, payload: bytes, *, timeout: float | None = -1) -> bytes:
        """Make any call of the Task service with an encoded request; return the encoded answer.

        `timeout` in seconds, None for ever; negative: this client's own.
        """
        limit = self._timeout if timeout is not None and timeout < 0 else timeout
        deadline = None if limit is None else time.monotonic() + limit
        stream, data = self._connection.call(SERVICE, method, payload)
        try:
            self._send(data)
            return self._receive(method, stream, deadline)
        except TimeoutError:
            self._connection.abandon(stream)
            raise

    def _send(self, data: bytes) -> None:
        try:
            self._sock.settimeout(self._timeout)
            self._sock.sendall(data)
        except ConnectionError as error:
            raise ShimGone("the shim has closed the connection") from error

    def _receive(self, method: str, stream: int, deadline: float | None) -> bytes:
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"no answer to {method} in time")
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(65536)
            except ConnectionError as error:
                raise ShimGone(f"the shim ended during {method}") from error
            if not data:
                raise ShimGone(f"the shim ended during {method}")
            for answer in self._connection.receive(data):
                if answer.stream == stream:
                    return answer.result()


class PendingWait:
    """A Wait under way on a connection of its own; readable (fileno) once it has its answer."""

    def __init__(self, address: str, container: str, exec_id: str = "") -> None:
        """Begin to wait; raises ShimGone if no shim answers at the address."""
        self._sock = _dial(address, None)
        self._connection = ClientConnection()
        request = encode(messages.ProcessRequest(container, exec_id))
        _, data = self._connection.call(SERVICE, "Wait", request)
        self._sock.sendall(data)

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._sock.fileno()

    def result(self, timeout: float | None = None) -> Exit:
        """Return how the process ended; raises RpcError, ShimGone, TimeoutError (seconds)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not poll.poll(None if left is None else min(left, _LONGEST_POLL) * 1000):
                if left is not None and left > _LONGEST_POLL:
                    continue
                raise TimeoutError("the process is still running")
            try:
                data = self._sock.recv(65536)
            except ConnectionError as error:
                raise ShimGone("the shim ended during Wait") from error
            if not data:
                raise ShimGone("the shim ended during Wait")
            for answer in self._connection.receive(data):
                return _exit(decode(messages.WaitResponse, answer.result()))

    def close(self) -> None:
        """Give up waiting."""
        self._sock.close()


def _exit(reply: messages.WaitResponse) -> Exit:
    at = reply.exited_at or messages.Timestamp()
    return Exit(reply.exit_status, at.seconds * 1_000_000_000 + at.nanos)


__all__ = ["Code", "Exit", "PendingWait", "RpcError", "ShimGone", "TaskClient", "connect"]
