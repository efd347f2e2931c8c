"""Starting a container's init: what the shim process does around the fork.

`spawn` plans everything first, so that a bad bundle fails before anything exists; then it makes the
cgroup, forks init into its pid namespace and returns. What happens inside is in `init`.
The calling process must have one thread only: a fork copies no other.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NamedTuple, Protocol

from wasmimg_images.errors import RunError
from wasmimg_shim import init, report, seccomp
from wasmimg_shim.hooks import State
from wasmimg_shim.linux import caps, filesystem, libc, namespaces, rlimits
from wasmimg_shim.linux.cgroup import Cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_shim.bundle import Bundle
    from wasmimg_shim.spec import Seccomp

#: the file in a bundle that says which cgroup folders are the container's
CGROUP_RECORD = "wasmimg.cgroup"


class Program(Protocol):
    """What runs in the sandbox in the end.

    `load` is called in init before the sandbox closes: paths are the host's, everything that `run`
    will import or map must be there when it returns. Descriptors that it opens stay open; the
    sandbox fails if one of them is a directory of the host.

    `run` is called after Start, inside: paths are the container's, nothing can be imported, and
    every signal that can be waited for is blocked (so that none is lost between Start and the first
    sigwait(3)). Its result is the exit status, 0 to 255.
    """

    def load(self) -> None:
        """Get everything that is needed from the host."""
        ...

    def run(self) -> int:
        """Run to the end; returns the exit status."""
        ...


class Child:
    """A container's init, from its fork to the removal of what it leaves.

    Reaping is the caller's: it has the event loop that waits for `pidfd`.
    """

    def __init__(
        self, pid: int, pidfd: int, status_fd: int, control_fd: int, cgroup: Cgroup
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.status_fd = status_fd
        self.cgroup = cgroup
        self._control_fd = control_fd

    def confirm(self) -> bool:
        """Take init's answer, once `status_fd` is readable: False where it waits for hooks.

        Raises the error that stopped init (see `report`), and BlockingIOError while there is no
        answer yet.
        """
        return report.read(self.status_fd)

    def go_on(self) -> None:
        """Say that the hooks that init waits for have run; `confirm` has the next answer."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._control_fd, init.HOOKED)

    def start(self) -> None:
        """Let the program run. Raises RunError where init is no longer there."""
        try:
            os.write(self._control_fd, init.START)
        except BrokenPipeError:
            raise RunError("the container's init has died before it was started") from None

    def kill(self, number: int) -> None:
        """Send a signal to init; ProcessLookupError once it has been reaped."""
        signal.pidfd_send_signal(self.pidfd, number)

    def oom_kills(self) -> int:
        """Count processes that the kernel killed for want of memory; valid until `cleanup`."""
        return self.cgroup.oom_kills()

    def cleanup(self) -> None:
        """Close the descriptors, kill what is left in the cgroup, remove it; may be repeated.

        The container's mounts have gone with its namespace.
        """
        for name in ("status_fd", "_control_fd", "pidfd"):
            fd: int = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)
        self.cgroup.remove()


class Plan(NamedTuple):
    """All that `spawn` can know before it does anything."""

    namespaces: namespaces.Namespaces
    cgroup: Cgroup
    sandbox: init.Sandbox


def plan(bundle: Bundle, filters: str | None = None) -> Plan:
    """Plan a container; `filters` is as in `spawn`.

    Raises InvalidInput for what can't be honoured; changes nothing.
    """
    spec = bundle.spec
    if spec.linux.uid_mappings or spec.linux.gid_mappings:
        raise RunError("user namespaces are not supported", hint="drop userns-remap for this one")
    spaces = namespaces.plan(spec.linux.namespaces)
    cgroup = Cgroup.plan(spec.linux.cgroups_path, bundle.id)
    with open("/proc/self/status", encoding="utf-8") as stream:
        available = caps.available(stream.read())
    sandbox = init.Sandbox(
        rootfs=bundle.rootfs,
        namespace_flags=spaces.flags(),
        new_network="network" in spaces.made,
        hostname=spec.hostname,
        domainname=spec.domainname,
        operations=filesystem.plan(spec, bundle.path, cgroup.folders),
        sysctls=tuple(
            (namespaces.sysctl_path(name, spaces.own), value) for name, value in spec.linux.sysctl
        ),
        propagation=filesystem.propagation(spec.linux.rootfs_propagation),
        process=spec.process,
        rlimits=rlimits.plan(spec.process.rlimits),
        capabilities=caps.plan(spec.process.capabilities, available, spec.process.user.uid),
        hooks=spec.hooks,
        state=State.of(bundle),
        seccomp=_filter(spec.linux.seccomp, filters),
        cgroup=cgroup,
    )
    return Plan(spaces, cgroup, sandbox)


def _filter(wanted: Seccomp | None, filters: str | None) -> seccomp.Filter | None:
    if wanted is None:
        return None
    return (
        seccomp.compile_filter(wanted) if filters is None else seccomp.kept_filter(wanted, filters)
    )


def spawn(
    bundle: Bundle,
    stdio: tuple[int, int, int],
    program: Program,
    *,
    keep: tuple[int, ...] = (),
    filters: str | None = None,
    in_scope: bool = False,
) -> Child:
    """Fork a container's init and return at once; `Child.status_fd` tells when it is ready.

    Args:
        bundle: the container.
        stdio: descriptors that become 0, 1 and 2; the caller closes its own.
        program: what init runs in the end.
        keep: descriptors that `program` needs; all others but stdio are closed in init.
        filters: a private folder in which compiled seccomp profiles are kept.
        in_scope: systemd has made the container's cgroup (`systemd.keeper`).

    Nothing is left behind when this raises: InvalidInput or RunError for what can't be honoured,
    OSError with a path for what the kernel refused.
    """
    planned = plan(bundle, filters)
    with contextlib.ExitStack() as undo:
        record = os.path.join(bundle.path, CGROUP_RECORD)
        if in_scope:
            undo.callback(planned.cgroup.remove)
            planned.cgroup.adopt(record)
        else:
            planned.cgroup.create(record)
            undo.callback(planned.cgroup.remove)
        planned.cgroup.limit(bundle.spec.linux.resources)
        joined = namespaces.open_joined(planned.namespaces)
        with contextlib.ExitStack() as opened:
            for _, _, fd in joined:
                opened.callback(os.close, fd)
            child = _fork(planned, joined, stdio, program, keep)
        undo.pop_all()
    return child


def _fork(
    planned: Plan,
    joined: tuple[tuple[str, str, int], ...],
    stdio: tuple[int, int, int],
    program: Program,
    keep: tuple[int, ...],
) -> Child:
    status_read, status_write = os.pipe2(os.O_CLOEXEC)
    control_read, control_write = os.pipe2(os.O_CLOEXEC)
    ends = init.Ends(stdio, status_write, control_read, keep, joined)
    try:
        pid = _fork_into(
            planned.namespaces, joined, lambda: init.main(planned.sandbox, program, ends)
        )
        pidfd = os.pidfd_open(pid)
    except BaseException:
        os.close(status_read)
        os.close(control_write)
        raise
    finally:
        os.close(status_write)
        os.close(control_read)
    os.set_blocking(status_read, False)
    return Child(pid, pidfd, status_read, control_write, planned.cgroup)


def _fork_into(
    spaces: namespaces.Namespaces,
    joined: tuple[tuple[str, str, int], ...],
    child: Callable[[], None],
) -> int:
    """Fork with the container's pid namespace as the child's, then take the caller's own back."""
    target = next((fd for kind, _, fd in joined if kind == "pid"), None)
    if "pid" not in spaces.own:
        return _fork_here(child)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if target is None:
            libc.unshare(libc.CLONE_NEWPID)
        else:
            libc.setns(target, libc.CLONE_NEWPID)
        try:
            return _fork_here(child)
        finally:
            libc.setns(own, libc.CLONE_NEWPID)
    finally:
        os.close(own)


def _fork_here(child: Callable[[], None]) -> int:
    # Signals that arrive meanwhile must not run the shim's handlers in init.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if not pid:
            try:
                child()
            finally:
                os._exit(init.LOST)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def remove_leftovers(bundle: str) -> None:
    """Remove a container's cgroup after its shim has died, with every process in it."""
    Cgroup.recall(os.path.join(bundle, CGROUP_RECORD)).remove()
