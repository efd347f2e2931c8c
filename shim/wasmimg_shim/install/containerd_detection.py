"""Finding containerd on this machine, running or not. Changes nothing."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from wasmimg_images.errors import HostError
from wasmimg_shim.install import launchers, machine, processes, proof
from wasmimg_shim.install.ctr import Ctr, column
from wasmimg_shim.install.machine import ContainerdHost, Version

if TYPE_CHECKING:
    from collections.abc import Mapping


def find(environ: Mapping[str, str], *, running: bool) -> ContainerdHost | None:
    """Ask containerd; HostError if it can't be reached. `running`: also for tasks of ours."""
    address = environ.get("CONTAINERD_ADDRESS") or machine.CONTAINERD_SOCKET
    peer = processes.peer(address)
    if peer is None:
        program = shutil.which("containerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        return ContainerdHost() if program is not None else None
    if not processes.shares_our_root(peer):
        raise HostError(
            f"the containerd behind {address} does not run in this file system",
            hint="run this where containerd runs; --host docker leaves it alone",
        )
    ctr = Ctr(address)
    _, _, server = ctr.need("version").partition("Server:")
    return ContainerdHost(
        Version.find(server),
        address,
        processes.search(peer),
        proof.containerd_leftovers(address),
        _containerd_running(ctr) if running else (),
    )


def _containerd_running(ctr: Ctr) -> tuple[str, ...]:
    found: list[str] = []
    for namespace in ctr.lines("namespaces", "ls", "-q"):
        if namespace == "moby":  # Docker is asked itself
            continue
        here = ctr._replace(namespace=namespace)
        tasks = set(column(here.lines("tasks", "ls"), 0))
        containers = here.lines("containers", "ls")
        pairs = zip(column(containers, 0), column(containers, 2), strict=True)
        found += [
            f"{namespace}/{name}"
            for name, runtime in pairs
            if name in tasks and launchers.is_runtime(runtime)
        ]
    return tuple(found)
