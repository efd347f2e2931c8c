"""OCI hooks: the host's programs at six points of a container's life, its state on their input.

Where and when each kind runs: `prestart` and `createRuntime` beside the shim, once init has its
namespaces and mounts; `createContainer` in these, before the root changes; `startContainer` in the
container, before the guest; `poststart` and `poststop` beside the shim.
Source: runtime-spec, config.md "POSIX-platform Hooks"; runtime.md "State" and "Lifecycle".
"""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import contextmanager
from typing import NamedTuple

from wasmimg_images.errors import RunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from wasmimg_shim.bundle import Bundle
    from wasmimg_shim.children import Children
    from wasmimg_shim.shim_log import ShimLog
    from wasmimg_shim.spec import Hook

#: how much of what a failed hook has said goes into the error
_LAST_WORDS = 500


class State(NamedTuple):
    """What a container's state always says."""

    oci_version: str = ""
    id: str = ""
    bundle: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, bundle: Bundle) -> State:
        """Take it from a bundle."""
        spec = bundle.spec
        return cls(spec.oci_version, bundle.id, bundle.path, spec.annotations)

    def document(self, status: str, pid: int = 0) -> bytes:
        """Write the state as JSON; `pid` is left out where it is 0."""
        fields: dict[str, object] = {
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
            "annotations": dict(self.annotations),
        }
        if pid:
            fields["pid"] = pid
        return json.dumps(fields).encode()


class _Running(NamedTuple):
    """A hook's process and what it writes."""

    pid: int
    pidfd: int
    output: int


@contextmanager
def _run(hook: Hook, state: bytes) -> Generator[_Running]:
    """Start a hook; the caller waits for its end and reaps it in the block."""
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    try:
        pid = _spawn(hook, state, output)
        pidfd = os.pidfd_open(pid)
        try:
            yield _Running(pid, pidfd, output)
        finally:
            os.close(pidfd)
    finally:
        os.close(output)


def _spawn(hook: Hook, state: bytes, output: int) -> int:
    stdin = os.memfd_create("state", os.MFD_CLOEXEC)
    try:
        os.pwrite(stdin, state, 0)
        return os.posix_spawn(
            hook.path,
            list(hook.args) or [hook.path],
            {name: value for name, _, value in (entry.partition("=") for entry in hook.env)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, fd, number)
                for number, fd in enumerate((stdin, output, output))
            ],
            # a group of its own: what it has started is killed with it
            setpgroup=0,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError as error:
        raise RunError(
            f"hook {hook.path}: {error.strerror}", hint="hooks are named in config.json"
        ) from error
    finally:
        os.close(stdin)


def _judge(kind: str, hook: Hook, status: int, output: int, *, timely: bool) -> None:
    """Raise RunError where a hook has failed; `status` is its wait status."""
    if not timely:
        raise RunError(f"{kind} hook {hook.path} was killed: it took more than {hook.timeout} s")
    code = os.waitstatus_to_exitcode(status)
    if code:
        size = os.fstat(output).st_size
        said = os.pread(output, _LAST_WORDS, max(0, size - _LAST_WORDS)).decode(errors="replace")
        raise RunError(f"{kind} hook {hook.path} failed with status {code}: {said.strip()}")


def run_here(kind: str, hooks: tuple[Hook, ...], state: bytes) -> None:
    """Run hooks one after the other and block meanwhile; raises RunError at the first that fails."""
    for hook in hooks:
        with _run(hook, state) as running:
            poll = select.poll()
            poll.register(running.pidfd, select.POLLIN)
            timely = bool(poll.poll(None if hook.timeout is None else hook.timeout * 1000))
            if not timely:
                os.killpg(running.pid, signal.SIGKILL)
            _, status = os.waitpid(running.pid, 0)
            _judge(kind, hook, status, running.output, timely=timely)


class ShimHooks:
    """The hooks of one container that run beside the shim, each once and never in its way."""

    def __init__(self, bundle: Bundle, children: Children, log: ShimLog) -> None:
        self._state = State.of(bundle)
        self._hooks = bundle.spec.hooks
        self._children = children
        self._log = log
        self._stopped = False

    async def create(self, pid: int) -> None:
        """Run those that make the container's surroundings; raises RunError."""
        state = self._state.document("creating", pid)
        await self._run("prestart", self._hooks.prestart, state)
        await self._run("createRuntime", self._hooks.create_runtime, state)

    async def started(self, pid: int) -> None:
        """Run what is to hear of the start; that one fails changes nothing."""
        await self._tell("poststart", self._hooks.poststart, self._state.document("running", pid))

    async def stopped(self) -> None:
        """Run what is to hear of the end, the first time only; that one fails changes nothing."""
        hooks = () if self._stopped else self._hooks.poststop
        self._stopped = True
        await self._tell("poststop", hooks, self._state.document("stopped"))

    async def _tell(self, kind: str, hooks: tuple[Hook, ...], state: bytes) -> None:
        for hook in hooks:
            try:
                await self._run(kind, (hook,), state)
            except RunError as error:
                self._log.warning(error.message, container=self._state.id)

    async def _run(self, kind: str, hooks: tuple[Hook, ...], state: bytes) -> None:
        from wasmimg_shim.loop import readable

        for hook in hooks:
            with _run(hook, state) as running:
                self._children.adopt(running.pid)
                timely = await readable(running.pidfd, hook.timeout)
                if not timely:
                    os.killpg(running.pid, signal.SIGKILL)
                status = await self._children.wait(running.pid, running.pidfd)
                _judge(kind, hook, status, running.output, timely=timely)
