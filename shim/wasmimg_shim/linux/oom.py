"""Being told that a cgroup's memory has run out: in version 1 by an eventfd, in 2 by inotify.

For cgroups that somebody else makes: they are found by a process in them.
Source: the kernel's cgroup-v1/memory.rst, "OOM Control"; cgroup-v2.rst, "memory.events".
"""

from __future__ import annotations

import os
from contextlib import suppress

from wasmimg_shim.linux import inotify
from wasmimg_shim.linux.cgroup import MOUNT, Cgroup, hierarchies

_PORTION = 4096


class OomWatch:
    """`fd` can be read once memory has run out; for as long as that, `ran_out` is to be asked."""

    def __init__(self, fd: int, cgroup: Cgroup) -> None:
        self.fd = fd
        self._cgroup = cgroup
        self._told = cgroup.oom_kills()

    @classmethod
    def of(cls, pid: int, mount: str = MOUNT) -> OomWatch:
        """Watch the memory of the cgroup that a process is in; raises OSError or HostError."""
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
            return cls.read(stream.read(), mount)

    @classmethod
    def read(cls, text: str, mount: str = MOUNT) -> OomWatch:
        """Watch the memory of the cgroup that a /proc/pid/cgroup names (cgroups(7))."""
        for hierarchy in hierarchies(text, mount):
            folder = hierarchy.locate(f"/{hierarchy.own}")
            if not hierarchy.name:
                fd = inotify.watch_changes(f"{folder}/memory.events")
            elif "memory" in hierarchy.controllers:
                fd = _registered(folder)
            else:
                continue
            return cls(fd, Cgroup((("memory" if hierarchy.name else "", folder),)))
        raise FileNotFoundError("no cgroup counts memory")

    @property
    def kills(self) -> int:
        """How many processes of the cgroup the kernel has killed; 0 once it has gone."""
        return self._cgroup.oom_kills()

    def ran_out(self) -> bool:
        """Tell whether memory ran out since the last call; the descriptor is quiet afterwards.

        Version 1 tells before it kills, and tells of the cgroup's end, too; version 2 tells of
        every event of memory, so that there the count decides.
        """
        with suppress(BlockingIOError):
            os.read(self.fd, _PORTION)
        if not self._cgroup.unified:
            return os.path.exists(f"{self._cgroup.folders[0][1]}/cgroup.event_control")
        before, self._told = self._told, max(self._told, self.kills)
        return self._told > before

    def close(self) -> None:
        """Stop watching; may be repeated."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _registered(folder: str) -> int:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        with (
            open(f"{folder}/memory.oom_control", "rb") as control,
            open(f"{folder}/cgroup.event_control", "w", encoding="ascii") as events,
        ):
            events.write(f"{fd} {control.fileno()}")
    except BaseException:
        os.close(fd)
        raise
    return fd
