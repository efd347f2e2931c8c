"""containerd.task.v2.Task and v3.Task: what each call does to the containers of this shim."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from wasmimg_images.errors import InvalidInput, WasmimgError
from wasmimg_shim import messages
from wasmimg_shim.loop import Event
from wasmimg_shim.messages import TaskStatus
from wasmimg_shim.rpc_status import AlreadyExists, TaskNotFound, Unimplemented
from wasmimg_shim.state import Step, after
from wasmimg_shim.stdio import StdioPaths
from wasmimg_shim.task import Process, Task
from wasmimg_shim.ttrpc.status import Code, RpcError
from wasmimg_shim.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmimg_shim.events import Publisher
    from wasmimg_shim.loop import Loop
    from wasmimg_shim.task_maker import TaskMaker
    from wasmimg_shim.ttrpc.server import Call

M = TypeVar("M", bound=tuple[object, ...])

#: The two differ in nothing but their names.
SERVICES = ("containerd.task.v2.Task", "containerd.task.v3.Task")
_SIGNALS = range(1, 65)
_SIGKILL = 9
#: The status of an exec that could not be started: who waits for it must not wait for ever.
_NEVER_RAN = 255
#: containerd, pkg/identifiers: what ids are made of; ours become file names
_ID = re.compile(r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*")
_ID_MAX = 76
_DRAIN_SECONDS = 5.0


class TaskService:
    """The containers of one shim, and the calls that change them."""

    def __init__(self, loop: Loop, maker: TaskMaker, events: Publisher) -> None:
        #: somebody wants the shim to end, once it has no containers
        self.end_wanted = Event(loop)
        #: it ends, and takes no container any more
        self.closed = False
        self._loop = loop
        self._maker = maker
        self._events = events
        self._tasks: dict[str, Task] = {}
        self._making: dict[str, Event] = {}
        self._methods = {
            "Create": _method(messages.CreateTaskRequest, self._create),
            "Start": _method(messages.ProcessRequest, self._start),
            "State": _method(messages.ProcessRequest, self._state),
            "Wait": _method(messages.ProcessRequest, self._wait),
            "Kill": _method(messages.KillRequest, self._kill),
            "Delete": _method(messages.ProcessRequest, self._delete),
            "Pids": _method(messages.ProcessRequest, self._pids),
            "Connect": _method(messages.ProcessRequest, self._connect),
            "Shutdown": _method(messages.ShutdownRequest, self._shutdown),
            "Exec": _method(messages.ExecProcessRequest, self._exec),
            "CloseIO": _method(messages.CloseIORequest, self._close_io),
        }

    @property
    def busy(self) -> bool:
        """Whether there are containers, or one is being made."""
        return bool(self._tasks or self._making)

    @staticmethod
    def is_endless(call: Call) -> bool:
        """Tell whether a call is only waiting for somebody: it may be dropped with its caller."""
        return call.method == "Wait"

    async def answer(self, call: Call) -> bytes:
        """Answer one call; raises what rpc_status knows."""
        method = self._methods.get(call.method)
        if call.service not in SERVICES or method is None:
            raise RpcError(
                Code.UNIMPLEMENTED, f"method {call.service}/{call.method} is not implemented"
            )
        return await method(call.payload)

    def _task(self, container: str) -> Task:
        try:
            return self._tasks[container]
        except KeyError:
            raise TaskNotFound(f"container {container} not found") from None

    async def _create(self, request: messages.CreateTaskRequest) -> messages.PidResponse:
        _check_id(request.id)
        if self.closed:
            raise RpcError(Code.UNAVAILABLE, "the shim is shutting down")
        if request.id in self._tasks or request.id in self._making:
            raise AlreadyExists(f"container {request.id} already exists")
        if request.checkpoint:
            raise Unimplemented("checkpoints are not supported")
        made = self._making[request.id] = Event(self._loop)
        try:
            task = await self._maker.make(request)
            self._tasks[request.id] = task
        finally:
            del self._making[request.id]
            made.set()
        io = messages.TaskIO(request.stdin, request.stdout, request.stderr, request.terminal)
        pid = task.init.pid
        self._events.publish(
            messages.TaskCreate(request.id, request.bundle, request.rootfs, io, pid=pid)
        )
        self._loop.spawn(self._watch_init(task))
        return messages.PidResponse(pid)

    async def _start(self, request: messages.ProcessRequest) -> messages.PidResponse:
        task = self._task(request.id)
        process = task.process(request.exec_id)
        async with process.lock:
            running = after(process.status, Step.START, task.label(process))
            try:
                await process.runner.start()
            except Exception:
                if process is not task.init:
                    process.ended(_NEVER_RAN)
                    process.exited.set()
                raise
            process.status = running
            if process is task.init:
                self._events.publish(messages.TaskStart(task.id, process.pid))
            else:
                if process.stdio is not None:
                    process.stdio.release_given()
                started = messages.TaskExecStarted(task.id, process.name, process.pid)
                self._events.publish(started)
                self._loop.spawn(self._watch_exec(task, process))
        return messages.PidResponse(process.pid)

    async def _state(self, request: messages.ProcessRequest) -> messages.StateResponse:
        task = self._task(request.id)
        return task.describe(task.process(request.exec_id))

    async def _wait(self, request: messages.ProcessRequest) -> messages.WaitResponse:
        process = self._task(request.id).process(request.exec_id)
        await process.exited.wait()
        assert process.exit is not None
        return messages.WaitResponse(process.exit.status, process.exit.timestamp)

    async def _kill(self, request: messages.KillRequest) -> messages.Empty:
        task = self._task(request.id)
        process = task.process(request.exec_id)
        after(process.status, Step.KILL, task.label(process))
        if request.signal not in _SIGNALS:
            raise InvalidInput(f"no signal has the number {request.signal}")
        try:
            if request.all and process is task.init:
                await process.runner.kill_all(request.signal)
            else:
                process.runner.kill(request.signal)
        except ProcessLookupError:
            raise TaskNotFound(f"process already finished: {task.label(process)}") from None
        return messages.Empty()

    async def _delete(self, request: messages.ProcessRequest) -> messages.DeleteResponse:
        making = self._making.get(request.id)
        if making is not None:  # who asked for it was killed, and somebody cleans up
            await making.wait()
        task = self._task(request.id)
        process = task.process(request.exec_id)
        after(process.status, Step.DELETE, task.label(process))
        if process.status is TaskStatus.CREATED and process.pid:
            with suppress(ProcessLookupError):
                process.runner.kill(_SIGKILL)
            await process.exited.wait()
        async with process.lock:
            await process.runner.clean_up()
            if process is task.init:
                await self._forget(task)
            elif task.execs.pop(process.name, None) is not None and process.stdio is not None:
                await process.stdio.drain()
        if process.exit is None:
            return messages.DeleteResponse()
        return messages.DeleteResponse(process.pid, process.exit.status, process.exit.timestamp)

    async def _forget(self, task: Task) -> None:
        for process in (task.init, *task.execs.values()):
            if process.stdio is not None:
                await process.stdio.drain()
        await task.release()
        if self._tasks.get(task.id) is task:
            del self._tasks[task.id]
            status, at = (0, None)
            if task.init.exit is not None:
                status, at = task.init.exit.status, task.init.exit.timestamp
            self._events.publish(messages.TaskDelete(task.id, task.init.pid, status, at))

    async def _pids(self, request: messages.ProcessRequest) -> messages.PidsResponse:
        task = self._task(request.id)
        if task.init.status is TaskStatus.STOPPED:
            return messages.PidsResponse()
        pids = await task.init.runner.pids()
        return messages.PidsResponse(tuple(messages.ProcessInfo(pid) for pid in pids))

    async def _connect(self, request: messages.ProcessRequest) -> messages.ConnectResponse:
        task = self._task(request.id)
        return messages.ConnectResponse(os.getpid(), task.init.pid)

    async def _shutdown(self, request: messages.ShutdownRequest) -> messages.Empty:
        del request  # whoever asks, and however urgently: not while there are containers
        if not self.busy:
            self.end_wanted.set()
        return messages.Empty()

    async def _exec(self, request: messages.ExecProcessRequest) -> messages.Empty:
        task = self._task(request.id)
        _check_id(request.exec_id)
        if task.make_exec is None:
            raise Unimplemented("exec is not supported in a Wasm container")
        if request.spec is None:
            raise InvalidInput("an exec needs a process")
        _check_exec(task, request.exec_id)
        paths = StdioPaths(request.stdin, request.stdout, request.stderr, request.terminal)
        stdio = await self._maker.open_stdio(paths, request.exec_id)
        try:  # once more: starting a logger takes its time
            _check_exec(task, request.exec_id)
        except WasmimgError:
            await stdio.drain()
            raise
        runner = task.make_exec(request.exec_id, request.spec.value, stdio)
        task.execs[request.exec_id] = Process(self._loop, request.exec_id, runner, stdio, paths)
        self._events.publish(messages.TaskExecAdded(task.id, request.exec_id))
        return messages.Empty()

    async def _close_io(self, request: messages.CloseIORequest) -> messages.Empty:
        process = self._task(request.id).process(request.exec_id)
        if request.stdin and process.stdio is not None:
            process.stdio.close_stdin()
        return messages.Empty()

    def _report_oom(self, task: Task) -> None:
        task.told_of_oom = True
        self._events.publish(messages.TaskOOM(task.id))

    async def _watch_memory(self, task: Task) -> None:
        """Report that memory has run out, each time."""
        while await task.init.runner.ran_out_of_memory():
            self._report_oom(task)

    async def _watch_init(self, task: Task) -> None:
        """Report the end of a container: after its start, and after the end of its execs."""
        watching = self._loop.spawn(self._watch_memory(task))
        status = await task.init.runner.wait()
        watching.cancel()
        for process in task.execs.values():
            if process.status is TaskStatus.RUNNING:
                await self._end_exec(process)
        async with task.init.lock:
            if not task.told_of_oom and task.init.runner.oom_kills():
                self._report_oom(task)
            self._report_exit(task, task.init, status)

    @staticmethod
    async def _end_exec(process: Process) -> None:
        with suppress(ProcessLookupError):
            process.runner.kill(_SIGKILL)
        await process.exited.wait(_DRAIN_SECONDS)

    async def _watch_exec(self, task: Task, process: Process) -> None:
        status = await process.runner.wait()
        async with process.lock:
            self._report_exit(task, process, status)

    def _report_exit(self, task: Task, process: Process, status: int) -> None:
        end = process.ended(status)
        self._events.publish(
            messages.TaskExit(
                task.id, process.name or task.id, process.pid, end.status, end.timestamp
            )
        )
        process.exited.set()


def _method(
    kind: type[M], handler: Callable[[M], Awaitable[tuple[object, ...]]]
) -> Callable[[bytes], Awaitable[bytes]]:
    """Make a method on bytes of one on messages."""

    async def answer(payload: bytes) -> bytes:
        return encode(await handler(decode(kind, payload)))

    return answer


def _check_exec(task: Task, name: str) -> None:
    """Refuse an exec that a container has already, or that it can't have."""
    if name in task.execs:
        raise AlreadyExists(f"exec {name} of container {task.id} already exists")
    after(task.init.status, Step.EXEC, task.id)


def _check_id(identifier: str) -> None:
    if len(identifier) > _ID_MAX or not _ID.fullmatch(identifier):
        raise InvalidInput(f"{identifier!r} is no identifier: up to {_ID_MAX} of A-Z a-z 0-9 . _ -")
