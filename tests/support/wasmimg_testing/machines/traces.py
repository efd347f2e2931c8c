"""What containers make in a machine, besides files: there is to be as much after them as before."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from wasmimg_testing.machines.machine import Machine

#: the engines themselves, which tests restart, what they call in passing, and who entered the machine
_KEPT = {"containerd", "dockerd", "nsenter", "setpriv", "iptables", "ip6tables", "nft", "ctr"}
#: sockets with a name of each daemon's own
_DAEMONS = "/run/docker/libnetwork/"
#: what find(1) looks for: pipes and sockets, and bundles without what is in them
_IN_RUN = (
    *("-path", "*/io.containerd.runtime.v2.task/*/*", "-prune", "-print"),
    *("-o", "-type", "p", "-print", "-o", "-type", "s", "-print"),
)
_KINDS = ("net", "mnt", "pid", "ipc", "uts")


class Traces(NamedTuple):
    """Everything of a machine that a container could leave behind."""

    processes: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    namespaces: frozenset[str]
    interfaces: frozenset[str]
    pipes_sockets_and_bundles: frozenset[str]

    @classmethod
    def of(cls, machine: Machine) -> Traces:
        """Look at a machine as it is now."""
        mounts = Path(f"/proc/{machine.first}/mountinfo").read_text().splitlines()
        links = machine.run("ip", "-brief", "link").well().splitlines()
        files = machine.run("find", "/run", *_IN_RUN).out.splitlines()
        files = [file for file in files if not file.startswith(_DAEMONS)]
        pids = machine.cgroup.processes()
        return cls(
            processes=frozenset(filter(None, map(_words, pids))),
            mounts=frozenset(line.split()[4] for line in mounts),
            cgroups=frozenset(
                str(path) for folder in machine.cgroup.folders for path in folder.rglob("*/")
            ),
            namespaces=frozenset(name for pid in pids for name in _namespaces(pid)),
            interfaces=frozenset(line.split()[0].split("@")[0] for line in links),
            pipes_sockets_and_bundles=frozenset(files),
        )

    def beside(self, other: Traces) -> dict[str, list[str]]:
        """Name what is here and not in the other."""
        pairs = zip(self._fields, self, other, strict=True)
        return {name: sorted(own - others) for name, own, others in pairs if own - others}


def vanish(machine: Machine, before: Traces, seconds: float = 20) -> None:
    """Wait until there is nothing more than before; AssertionError names what stays."""
    left: dict[str, list[str]] = {}

    def nothing() -> bool:
        left.clear()
        left.update(Traces.of(machine).beside(before))
        return not left

    try:
        until(nothing, "nothing is left", seconds)
    except AssertionError:
        raise AssertionError(f"left in {machine.name}: {left}") from None


def _words(pid: int) -> str:
    """Name a process by its command line; threads of the kernel and the dead have none."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        if words and os.path.basename(words.split()[0]) not in _KEPT:
            return f"{pid} {words}"
    return ""


def _namespaces(pid: int) -> list[str]:
    with suppress(OSError):
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _KINDS]
    return []
