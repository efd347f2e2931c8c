"""What a process forked from the zygote takes over from the process that asked for it.

The caller is alive while this runs: it waits for the answer. All is read from its /proc folder
(proc(5)). Nothing that fails here is fatal: a shim in the zygote's cgroup is better than none.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CGROUP_ROOT = "/sys/fs/cgroup"
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def adopt(pid: int, environment: Mapping[bytes, bytes]) -> None:
    """Take the cgroups, limits, umask, OOM score, working directory and environment of `pid`."""
    os.environb.clear()
    os.environb.update(environment)
    for limit in dict.fromkeys(_LIMITS):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, resource.prlimit(pid, limit))
    with suppress(OSError):
        os.umask(_umask(pid))
    with suppress(OSError):
        _copy_oom_score(pid)
    with suppress(OSError):
        os.chdir(f"/proc/{pid}/cwd")
    with suppress(OSError):
        _join_cgroups(pid)


def _umask(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name == "Umask":
                return int(value, 8)
    return 0o022


def _copy_oom_score(pid: int) -> None:
    with open(f"/proc/{pid}/oom_score_adj") as score:
        wanted = score.read()
    with open("/proc/self/oom_score_adj", "r+") as score:
        if score.read() != wanted:
            score.write(wanted)


def _join_cgroups(pid: int) -> None:
    mine = set(_entrances("self"))
    for entrance in _entrances(str(pid)):
        if entrance not in mine:
            with suppress(OSError), open(entrance, "w") as entry:
                entry.write("0")


def _entrances(process: str) -> Iterator[str]:
    """Yield the file of each cgroup of the process by which another enters (cgroups(7))."""
    with open(f"/proc/{process}/cgroup") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers:
                # A thread that moves itself by this file waits for no lock of the whole kernel.
                yield f"{CGROUP_ROOT}/{controllers.removeprefix('name=')}{path}/tasks"
            else:
                hybrid = os.path.isdir(f"{CGROUP_ROOT}/unified")
                yield f"{CGROUP_ROOT}{'/unified' if hybrid else ''}{path}/cgroup.procs"
