"""The Protocol Buffers messages that a shim sends and receives.

Rule of this file: the nth field of a class has field number n, as in containerd's .proto files
(api/runtime/task, api/events, api/types, ttrpc's request.proto), and its annotation says its type.
`wire` encodes and decodes them.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Any(NamedTuple):
    """google.protobuf.Any."""

    type_url: str = ""
    value: bytes = b""


class Timestamp(NamedTuple):
    """google.protobuf.Timestamp."""

    seconds: int = 0
    nanos: int = 0

    @classmethod
    def of(cls, nanoseconds: int) -> Timestamp:
        """Make one of the nanoseconds since 1970 that time.time_ns() gives."""
        return cls(*divmod(nanoseconds, 1_000_000_000))


class Empty(NamedTuple):
    """google.protobuf.Empty."""


class Status(NamedTuple):
    """google.rpc.Status."""

    code: int = 0
    message: str = ""
    details: tuple[Any, ...] = ()


class KeyValue(NamedTuple):
    """ttrpc.KeyValue, also an entry of a protobuf map from string to string."""

    key: str = ""
    value: str = ""


class Request(NamedTuple):
    """ttrpc.Request."""

    service: str = ""
    method: str = ""
    payload: bytes = b""
    timeout_nano: int = 0
    metadata: tuple[KeyValue, ...] = ()


class Response(NamedTuple):
    """ttrpc.Response."""

    status: Status | None = None
    payload: bytes = b""


class TaskStatus(enum.IntEnum):
    """containerd.v1.types.Status."""

    UNKNOWN = 0
    CREATED = 1
    RUNNING = 2
    STOPPED = 3
    PAUSED = 4
    PAUSING = 5


class Mount(NamedTuple):
    """containerd.types.Mount."""

    type: str = ""
    source: str = ""
    target: str = ""
    options: tuple[str, ...] = ()


class CreateTaskRequest(NamedTuple):
    """Make a container, but don't let its program run yet."""

    id: str = ""
    bundle: str = ""
    rootfs: tuple[Mount, ...] = ()
    terminal: bool = False
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    checkpoint: str = ""
    parent_checkpoint: str = ""
    options: Any | None = None


class PidResponse(NamedTuple):
    """CreateTaskResponse and StartResponse."""

    pid: int = 0


class ProcessRequest(NamedTuple):
    """The requests that name a container, or a process in it: State, Start, Delete, Wait."""

    id: str = ""
    exec_id: str = ""


class StateResponse(NamedTuple):
    """What is known of a process."""

    id: str = ""
    bundle: str = ""
    pid: int = 0
    status: int = TaskStatus.UNKNOWN
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False
    exit_status: int = 0
    exited_at: Timestamp | None = None
    exec_id: str = ""


class DeleteResponse(NamedTuple):
    """The last that is heard of a process; also what the delete verb prints."""

    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None


class ProcessInfo(NamedTuple):
    """One process of a container."""

    pid: int = 0
    info: Any | None = None


class PidsResponse(NamedTuple):
    """The processes of a container, in the host's numbers."""

    processes: tuple[ProcessInfo, ...] = ()


class KillRequest(NamedTuple):
    """Send a signal to one process or to all of a container."""

    id: str = ""
    exec_id: str = ""
    signal: int = 0
    all: bool = False


class ExecProcessRequest(NamedTuple):
    """Add a process to a container; `spec` holds the OCI process as JSON."""

    id: str = ""
    exec_id: str = ""
    terminal: bool = False
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    spec: Any | None = None


class CloseIORequest(NamedTuple):
    """Nothing more will be written to a process's standard input."""

    id: str = ""
    exec_id: str = ""
    stdin: bool = False


class WaitResponse(NamedTuple):
    """How a process ended."""

    exit_status: int = 0
    exited_at: Timestamp | None = None


class ConnectResponse(NamedTuple):
    """Who serves a container, and the pid of its init."""

    shim_pid: int = 0
    task_pid: int = 0
    version: str = ""


class ShutdownRequest(NamedTuple):
    """End the shim once it has no containers."""

    id: str = ""
    now: bool = False


class TaskIO(NamedTuple):
    """containerd.events.TaskIO."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class TaskCreate(NamedTuple):
    """containerd.events.TaskCreate."""

    container_id: str = ""
    bundle: str = ""
    rootfs: tuple[Mount, ...] = ()
    io: TaskIO | None = None
    checkpoint: str = ""
    pid: int = 0


class TaskStart(NamedTuple):
    """containerd.events.TaskStart."""

    container_id: str = ""
    pid: int = 0


class TaskExit(NamedTuple):
    """containerd.events.TaskExit; for a container's init, `id` is `container_id`."""

    container_id: str = ""
    id: str = ""
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None


class TaskDelete(NamedTuple):
    """containerd.events.TaskDelete."""

    container_id: str = ""
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None
    id: str = ""


class TaskExecAdded(NamedTuple):
    """containerd.events.TaskExecAdded."""

    container_id: str = ""
    exec_id: str = ""


class TaskExecStarted(NamedTuple):
    """containerd.events.TaskExecStarted."""

    container_id: str = ""
    exec_id: str = ""
    pid: int = 0


class TaskOOM(NamedTuple):
    """containerd.events.TaskOOM."""

    container_id: str = ""


class Envelope(NamedTuple):
    """containerd.types.Envelope: an event on its way."""

    timestamp: Timestamp | None = None
    namespace: str = ""
    topic: str = ""
    event: Any | None = None


class ForwardRequest(NamedTuple):
    """containerd.services.events.ttrpc.v1.ForwardRequest."""

    envelope: Envelope | None = None


class RuntimeVersion(NamedTuple):
    """containerd.types.RuntimeVersion."""

    version: str = ""
    revision: str = ""


class RuntimeInfo(NamedTuple):
    """containerd.types.RuntimeInfo: the answer to -info."""

    name: str = ""
    version: RuntimeVersion | None = None
    options: Any | None = None
    features: Any | None = None
    annotations: tuple[KeyValue, ...] = ()
