"""A container and the processes in it, as the Task service sees them.

What makes a process run is behind `Runner`: our sandbox for Wasm, runc for Linux programs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from wasmimg_shim import messages
from wasmimg_shim.loop import Event, Lock
from wasmimg_shim.messages import TaskStatus
from wasmimg_shim.rpc_status import TaskNotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmimg_shim.loop import Loop
    from wasmimg_shim.stdio import Stdio, StdioPaths


class Runner(Protocol):
    """Makes one process run, once."""

    @property
    def pid(self) -> int:
        """The process in the host's numbers; 0 as long as there is none."""
        ...

    async def start(self) -> None:
        """Let the program run."""
        ...

    def kill(self, number: int) -> None:
        """Send a signal to the process; ProcessLookupError once it has ended."""
        ...

    async def kill_all(self, number: int) -> None:
        """Send a signal to every process of the container."""
        ...

    async def wait(self) -> int:
        """Wait for the end and reap; returns the exit status (128+n for signal n)."""
        ...

    async def pids(self) -> list[int]:
        """List the processes of the container."""
        ...

    def oom_kills(self) -> int:
        """Count processes of the container that were killed for want of memory."""
        ...

    async def ran_out_of_memory(self) -> bool:
        """Wait until the container's memory has run out once more; False where nobody tells."""
        ...

    async def clean_up(self) -> None:
        """Undo what making the process did; may be repeated."""
        ...


class Exit(NamedTuple):
    """How and when (ns since 1970) a process ended."""

    status: int
    at_ns: int

    @property
    def timestamp(self) -> messages.Timestamp:
        """The time as a message."""
        return messages.Timestamp.of(self.at_ns)


class Process:
    """A process with its status; `name` is the exec's id, empty for a container's init."""

    def __init__(
        self, loop: Loop, name: str, runner: Runner, stdio: Stdio | None, paths: StdioPaths
    ) -> None:
        self.name = name
        self.runner = runner
        self.stdio = stdio
        self.paths = paths
        self.status = TaskStatus.CREATED
        self.exit: Exit | None = None
        self.exited = Event(loop)
        self.lock = Lock(loop)
        # Known for good: State and Delete report it long after the process has gone.
        self._pid = 0

    @property
    def pid(self) -> int:
        """The process's pid, also when it has ended; 0 before it exists."""
        self._pid = self._pid or self.runner.pid
        return self._pid

    def ended(self, status: int) -> Exit:
        """Note the end; give back the standard streams."""
        self.exit = Exit(status, time.time_ns())
        self.status = TaskStatus.STOPPED
        if self.stdio is not None:
            self.stdio.close()
        return self.exit


class Task:
    """A container: its init and its execs."""

    def __init__(
        self,
        container: str,
        bundle: str,
        init: Process,
        make_exec: Callable[[str, bytes, Stdio], Runner] | None,
        release: Callable[[], Awaitable[None]],
    ) -> None:
        """`make_exec` is None where nothing can be executed; `release` undoes the rootfs mounts."""
        self.id = container
        self.bundle = bundle
        self.init = init
        self.execs: dict[str, Process] = {}
        self.told_of_oom = False
        self.make_exec = make_exec
        self.release = release

    def process(self, exec_id: str) -> Process:
        """Return the init (for an empty id) or an exec; raises TaskNotFound."""
        if not exec_id:
            return self.init
        try:
            return self.execs[exec_id]
        except KeyError:
            raise TaskNotFound(f"exec {exec_id} of container {self.id} not found") from None

    def label(self, process: Process) -> str:
        """Name a process in a message."""
        return f"{self.id}/{process.name}" if process.name else self.id

    def describe(self, process: Process) -> messages.StateResponse:
        """Say what is known of a process."""
        exit_status, exited_at = 0, None
        if process.exit is not None:
            exit_status, exited_at = process.exit.status, process.exit.timestamp
        return messages.StateResponse(
            id=self.id,
            bundle=self.bundle,
            pid=process.pid,
            status=process.status,
            stdin=process.paths.stdin,
            stdout=process.paths.stdout,
            stderr=process.paths.stderr,
            terminal=process.paths.terminal,
            exit_status=exit_status,
            exited_at=exited_at,
            exec_id=process.name,
        )
