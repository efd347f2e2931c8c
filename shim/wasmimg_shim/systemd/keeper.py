"""The process that a container's scope begins with, and that stays in it.

systemd makes a scope only around a process, and removes its cgroup as soon as that is empty, with the
count of out-of-memory kills in it. So a child of the shim asks for the scope, for itself, and waits
there until the count has been read. It ends with the shim at the latest; its memory is the shim's,
shared, and it counts as one of the scope's processes.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import HostError
from wasmimg_shim import report
from wasmimg_shim.init import close_all_but
from wasmimg_shim.linux import libc
from wasmimg_shim.linux.cgroup import BOOTED, Cgroup
from wasmimg_shim.linux.cgroup_path import DEFAULT_SLICE, cgroups_path, is_scope
from wasmimg_shim.loop import readable
from wasmimg_shim.systemd import properties
from wasmimg_shim.systemd.connection import Connection
from wasmimg_shim.systemd.properties import Property

if TYPE_CHECKING:
    from typing import NoReturn

    from wasmimg_shim.bundle import Bundle
    from wasmimg_shim.children import Children

PR_SET_PDEATHSIG = 1


class Scope(NamedTuple):
    """A unit to be made; `cgroup` is where its processes will be."""

    unit: str
    properties: tuple[Property, ...]
    cgroup: str


class Keeper:
    """The process in a scope, from its fork to its end."""

    def __init__(self, pid: int, pidfd: int, lifeline: int, children: Children) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._lifeline = lifeline
        self._children = children

    async def end(self) -> None:
        """Let it go, and reap it; may be repeated."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
            await self._children.wait(self._pid, self._pidfd)
            os.close(self._pidfd)


def asked_for(path: str, booted: str = BOOTED) -> bool:
    """Tell whether a container's cgroup is to be a scope: `slice:prefix:name`, where systemd is."""
    return is_scope(path) and os.path.isdir(booted)


def plan(bundle: Bundle) -> Scope:
    """Plan a container's scope; InvalidInput for limits that systemd has no words for."""
    linux = bundle.spec.linux
    slice_, prefix, name = linux.cgroups_path.split(":")
    cgroup = Cgroup.plan(linux.cgroups_path, bundle.id)
    with open("/proc/devices", encoding="utf-8") as stream:
        names = properties.drivers(stream.read())
    accounting = ("CPU", "Memory", "Tasks", "IO" if cgroup.unified else "BlockIO")
    return Scope(
        unit=f"{prefix}-{name}.scope" if prefix else f"{name}.scope",
        properties=(
            Property("Description", "s", f"wasmimg container {bundle.id}"),
            Property("Slice", "s", slice_ or DEFAULT_SLICE),
            Property("Delegate", "b", 1),
            # The engine ends its containers at a shutdown, not systemd by itself.
            Property("DefaultDependencies", "b", 0),
            Property("CollectMode", "s", "inactive-or-failed"),
            *(Property(f"{name}Accounting", "b", 1) for name in accounting),
            *properties.of(linux.resources, names, unified=cgroup.unified),
        ),
        cgroup=cgroups_path(linux.cgroups_path, bundle.id),
    )


async def begin(scope: Scope, children: Children) -> Keeper:
    """Make a scope; returns once it is there. Raises HostError with systemd's words."""
    status_read, status_write = os.pipe2(os.O_CLOEXEC)
    lifeline_read, lifeline_write = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if not pid:
            _keep(scope, parent, status_write, lifeline_read)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(status_write)
        os.close(lifeline_read)
    keeper = Keeper(pid, children.expect(pid), lifeline_write, children)
    try:
        await readable(status_read)
        report.read(status_read)
    except BaseException:
        await keeper.end()
        raise
    finally:
        os.close(status_read)
    return keeper


def _keep(scope: Scope, parent: int, status: int, lifeline: int) -> NoReturn:
    """Be the keeper: ask, tell how it went, wait for the end."""
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        close_all_but({status, lifeline})
        _outlive_init()
        if os.getppid() == parent:
            _enter(scope)
            report.write_ready(status)
            os.close(status)
            os.read(lifeline, 1)
    except BaseException as error:  # noqa: BLE001 - a process boundary
        report.write_failure(status, "systemd", error)
    finally:
        os._exit(0)


def _outlive_init() -> None:
    """Be the last that is killed where memory is short, as far as a nested host lets us."""
    with suppress(PermissionError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("-999")


def _enter(scope: Scope) -> None:
    # The number that systemd knows us by is that of the proc file system, which is the host's.
    own = int(os.readlink("/proc/self"))
    connection = Connection.connect()
    try:
        connection.start_transient(scope.unit, (*scope.properties, Property("PIDs", "au", [own])))
    finally:
        connection.close()
    with open("/proc/self/cgroup", encoding="utf-8") as stream:
        places = stream.read()
    if not any(line.endswith(f":{scope.cgroup}") for line in places.splitlines()):
        raise HostError(
            f"systemd has put {scope.unit} elsewhere than at {scope.cgroup}",
            hint="does the engine run in a cgroup namespace of its own?",
        )
