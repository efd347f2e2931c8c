"""From a Create request to a container whose init waits: each step undone if a later one fails."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple, Protocol

from wasmimg_images.errors import CannotInvoke, CommandNotFound, HostError, InvalidInput
from wasmimg_shim import entrypoint, record, rootfs, wasm_task
from wasmimg_shim.bundle import Bundle
from wasmimg_shim.entrypoint import Kind
from wasmimg_shim.linux.cgroup_path import is_scope
from wasmimg_shim.linux_task import LinuxExec, LinuxInit, Runc
from wasmimg_shim.record import Record
from wasmimg_shim.stdio import Stdio, StdioPaths
from wasmimg_shim.task import Process, Task

if TYPE_CHECKING:
    from wasmimg_shim.children import Children
    from wasmimg_shim.codecache import CodeCache
    from wasmimg_shim.engine import Engine
    from wasmimg_shim.entrypoint import Entrypoint
    from wasmimg_shim.logger import Loggers
    from wasmimg_shim.loop import Loop
    from wasmimg_shim.messages import CreateTaskRequest
    from wasmimg_shim.shim_log import ShimLog
    from wasmimg_shim.task import Runner

#: compiled seccomp profiles lie in a folder of the code cache: as private, and as easily made anew
FILTERS = "filters"


class Modules(Protocol):
    """Who made the bundle, as far as it keeps modules that are no files of the container."""

    async def __call__(self, container: str, word: str) -> int | None:
        """Open the module of a container whose command starts with `word`; None: it has none.

        The descriptor is the caller's. HostError: it can't be asked for.
        """
        ...


class TaskMaker(NamedTuple):
    """What making containers takes; `modules` is None for a caller who keeps none."""

    loop: Loop
    children: Children
    engine: Engine
    cache: CodeCache
    runc_root: str
    log: ShimLog
    loggers: Loggers
    modules: Modules | None = None

    async def make(self, request: CreateTaskRequest) -> Task:
        """Make a container. When this raises, nothing of it is left."""
        path = request.bundle
        self.log.move(path)
        async with AsyncExitStack() as undo:
            # Before anything is done: the delete verb must find it if this process is killed.
            note = Record(mounted=bool(request.rootfs))
            record.write(path, note)
            undo.callback(record.remove, path)
            if request.rootfs:
                rootfs.mount_all(path, request.rootfs)
                undo.callback(rootfs.unmount, path)
            bundle = Bundle.load(path, request.id)
            found = await self._entrypoint(bundle)
            undo.callback(os.close, found.fd)
            paths = StdioPaths(request.stdin, request.stdout, request.stderr, request.terminal)
            stdio = await self.open_stdio(paths, request.id)
            undo.push_async_callback(stdio.drain)
            systemd = is_scope(bundle.spec.linux.cgroups_path)
            runc = Runc(self.children, self.runc_root, path, request.id, systemd=systemd)
            if found.kind is Kind.WASM:
                runner: Runner = await self._make_wasm(bundle, found, stdio)
            else:
                note = note._replace(runc_root=self.runc_root)
                record.write(path, note)
                runner = await self._make_linux(runc, stdio)
            undo.push_async_callback(self._discard, runner)
            stdio.release_given()
            started = record.started(runner.pid)
            record.write(path, note._replace(pid=runner.pid, started=started))
            undo.pop_all()
        os.close(found.fd)
        init = Process(self.loop, "", runner, stdio, paths)

        def make_exec(name: str, process: bytes, streams: Stdio) -> Runner:
            return LinuxExec(runc, self.children, name, process, streams)

        async def release() -> None:
            if request.rootfs:
                rootfs.unmount(path)
            record.remove(path)

        execs = None if found.kind is Kind.WASM else make_exec
        return Task(request.id, path, init, execs, release)

    async def open_stdio(self, paths: StdioPaths, name: str) -> Stdio:
        """Open the standard streams of a container or an exec, named for its loggers."""
        stdio = await Stdio.open(paths, name, self.loggers)
        stdio.follow(self.loop)
        return stdio

    async def _entrypoint(self, bundle: Bundle) -> Entrypoint:
        """Look among the files of the container, then among the layers that are none."""
        try:
            return entrypoint.resolve(bundle)
        except CommandNotFound as missing:
            name = entrypoint.module_name(bundle)
            if self.modules is None or name is None:
                raise
            try:
                fd = await self.modules(bundle.id, name)
            except HostError as error:
                hint = f"if the image has it as a layer: {error.message}"
                raise CommandNotFound(missing.message, hint=hint) from error
            if fd is None:
                raise
            return entrypoint.module(bundle, fd)

    async def _make_wasm(self, bundle: Bundle, found: Entrypoint, stdio: Stdio) -> Runner:
        try:
            code = await wasm_task.code_of(self.engine, self.cache, self.children, found.fd)
        except InvalidInput as error:
            raise CannotInvoke(
                f'exec: "{found.path}": exec format error: {error.message}', hint=error.hint
            ) from error
        filters = os.path.join(self.cache.directory, FILTERS)
        return await wasm_task.WasmInit.create(
            bundle, found, code, self.engine, stdio, self.children, filters, self.log
        )

    async def _make_linux(self, runc: Runc, stdio: Stdio) -> Runner:
        init = LinuxInit(runc, self.children, self.log)
        await init.create(stdio)
        return init

    @staticmethod
    async def _discard(runner: Runner) -> None:
        runner.kill(9)
        await runner.wait()
        await runner.clean_up()
