"""Containers whose entrypoint is a Wasm module: compiled or taken from the cache, then sandboxed."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

from wasmimg_shim import sandbox
from wasmimg_shim.children import Children, exit_status
from wasmimg_shim.codecache import CodeCache, cache_key, compile_child
from wasmimg_shim.guest import Guest, Preopen, WasmProgram
from wasmimg_shim.hooks import ShimHooks
from wasmimg_shim.linux.cgroup import INTERVAL, PATIENCE
from wasmimg_shim.loop import readable, sleep
from wasmimg_shim.systemd import keeper

if TYPE_CHECKING:
    from wasmimg_shim.bundle import Bundle
    from wasmimg_shim.engine import Engine
    from wasmimg_shim.entrypoint import Entrypoint
    from wasmimg_shim.shim_log import ShimLog
    from wasmimg_shim.spec import Spec
    from wasmimg_shim.stdio import Stdio
    from wasmimg_shim.systemd.keeper import Keeper

#: File systems of the kernel that a guest has no use for; what they show is no business of files.
_NOT_SHOWN = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"})
_PORTION = 1 << 20


async def code_of(engine: Engine, cache: CodeCache, children: Children, module: int) -> int:
    """Return a descriptor of a module's compiled code, compiled now if the cache has none.

    Raises InvalidInput if it is no valid module, RunError if the compiler failed.
    """
    key = cache_key(engine, _digest(module))
    code = cache.lookup(key)
    if code is None:
        compilation = compile_child(engine, module)
        status = await children.wait(compilation.pid, compilation.pidfd)
        code = cache.store(key, compilation.result(status))
    return code


def _digest(fd: int) -> str:
    digest = hashlib.sha256()
    offset = 0
    while portion := os.pread(fd, _PORTION, offset):
        digest.update(portion)
        offset += len(portion)
    return digest.hexdigest()


def guest_of(spec: Spec, entrypoint: Entrypoint) -> Guest:
    """Return what the module is given: the OCI process, and a preopen for each mount."""
    word, *rest = spec.process.args[entrypoint.before :]
    if entrypoint.function:
        word = word.removesuffix(f"#{entrypoint.function}")
    preopens = [Preopen("/", "/", not spec.root_readonly)]
    preopens += [
        Preopen(mount.destination, mount.destination, "ro" not in mount.options)
        for mount in spec.mounts
        if mount.type not in _NOT_SHOWN
    ]
    return Guest(
        args=(word, *rest),
        env=spec.process.env,
        cwd=spec.process.cwd,
        function=entrypoint.function or None,
        preopens=tuple(preopens),
    )


class WasmInit:
    """A container's init in our sandbox; satisfies task.Runner."""

    def __init__(
        self,
        child: sandbox.Child,
        children: Children,
        hooks: ShimHooks,
        scope: Keeper | None,
        *,
        start_hooks: bool,
    ) -> None:
        """`start_hooks`: init runs some at its start, and then says how they went."""
        self._child = child
        self._scope = scope
        self._children = children
        self._hooks = hooks
        self._start_hooks = start_hooks
        self._reaped = False

    @classmethod
    async def create(
        cls,
        bundle: Bundle,
        entrypoint: Entrypoint,
        code: int,
        engine: Engine,
        stdio: Stdio,
        children: Children,
        filters: str,
        log: ShimLog,
    ) -> WasmInit:
        """Make init, and return once it has confirmed its namespaces; else raise why not.

        `code` is closed; `filters` is the folder of compiled seccomp profiles.
        """
        scope: Keeper | None = None
        try:
            program = WasmProgram(engine, code, guest_of(bundle.spec, entrypoint))
            if keeper.asked_for(bundle.spec.linux.cgroups_path):
                scope = await keeper.begin(keeper.plan(bundle), children)
            child = sandbox.spawn(
                bundle,
                stdio.fds,
                program,
                keep=(code,),
                filters=filters,
                in_scope=scope is not None,
            )
        except BaseException:
            if scope is not None:
                await scope.end()
            raise
        finally:
            os.close(code)
        hooks = ShimHooks(bundle, children, log)
        init = cls(
            child, children, hooks, scope, start_hooks=bool(bundle.spec.hooks.start_container)
        )
        children.adopt(child.pid)
        try:
            while not await init.confirmed():
                await hooks.create(child.pid)
                child.go_on()
        except BaseException:
            await init.abandon()
            raise
        return init

    async def confirmed(self) -> bool:
        """Wait for init's next answer: False where it waits for hooks. Raises what stopped it."""
        await readable(self._child.status_fd)
        return self._child.confirm()

    async def abandon(self) -> None:
        """Kill and reap an init that nobody will start."""
        self.kill(9)
        await self.wait()
        await self.clean_up()

    @property
    def pid(self) -> int:
        """The pid of init."""
        return self._child.pid

    async def start(self) -> None:
        """Let the guest run, once the hooks before it have."""
        self._child.start()
        if self._start_hooks:
            await self.confirmed()
        await self._hooks.started(self.pid)

    def kill(self, number: int) -> None:
        """Send a signal to init."""
        if self._reaped:
            raise ProcessLookupError
        self._child.kill(number)

    async def kill_all(self, number: int) -> None:
        """Send a signal to init: there is nothing else in a Wasm container."""
        self.kill(number)

    async def wait(self) -> int:
        """Wait for init's end and reap it."""
        status = await self._children.wait(self._child.pid, self._child.pidfd)
        self._reaped = True
        return exit_status(status)

    async def pids(self) -> list[int]:
        """List init, while it lives."""
        return [] if self._reaped else [self.pid]

    def oom_kills(self) -> int:
        """Ask the container's cgroup."""
        return self._child.oom_kills()

    async def ran_out_of_memory(self) -> bool:
        """Tell at once that nobody watches: it is init itself that would be killed."""
        return False

    async def clean_up(self) -> None:
        """Remove the cgroup, and tell whom it may concern."""
        if self._scope is not None:
            # The loop goes on meanwhile; `cleanup` would wait as well, and hold it up.
            self._child.cgroup.kill()
            await self._scope.end()
            deadline = time.monotonic() + PATIENCE
            while self._child.cgroup.left_to_systemd and time.monotonic() < deadline:
                await sleep(INTERVAL)
        self._child.cleanup()
        await self._hooks.stopped()
