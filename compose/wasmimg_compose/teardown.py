"""Undoing a start: everything that a container has on this host, found by its id.

Every step is idempotent and looks for what is there, so this serves a container that ended, a
start that failed, and whatever a killed command left behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from wasmimg_compose.network.networks import Networks
from wasmimg_compose.places import Places
from wasmimg_compose.record import Records
from wasmimg_compose.rootfs import Rootfs
from wasmimg_compose.shims import Shims
from wasmimg_compose.volumes import Volumes
from wasmimg_images.errors import RunError
from wasmimg_shim import client

if TYPE_CHECKING:
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home

#: How long a shim's init may take to die of SIGKILL, in seconds.
PATIENCE: Final = 10.0
CGROUPS: Final = Path("/sys/fs/cgroup")


def end_task(home: Home, record: Record) -> client.Exit | None:
    """Let the shim forget the task and end; kills what still runs. None if the shim is gone."""
    places = Places(home, record.id)
    found: client.Exit | None = None
    with contextlib.suppress(client.ShimGone, TimeoutError, client.RpcError):
        address = record.shim or _announced(places)
        if address:
            found = _delete(address, record.id)
    if found is None and (places.bundle / "config.json").exists():
        with contextlib.suppress(RunError):
            Shims(home).delete(record.id, places.bundle)
    return found


def _announced(places: Places) -> str:
    """Find the address of a shim whose starter was killed before it could record it."""
    try:
        return (places.bundle / "address").read_text().strip()
    except FileNotFoundError:
        return ""


def _delete(address: str, container: str) -> client.Exit:
    """Delete the task and send the shim home, whether there was a task or not."""
    with contextlib.closing(client.connect(address)) as task:
        try:
            return _delete_task(task, container)
        finally:
            with contextlib.suppress(client.RpcError, client.ShimGone):
                task.shutdown(container)


def _delete_task(task: client.TaskClient, container: str) -> client.Exit:
    try:
        return task.delete(container)
    except client.RpcError as error:
        if error.code != client.Code.FAILED_PRECONDITION:
            raise
    task.kill(container, signal.SIGKILL, everyone=True)
    task.wait(container, timeout=PATIENCE)
    return task.delete(container)


def clear(home: Home, record: Record) -> None:
    """Take down network, root filesystem, bundle and cgroup, as far as they are there."""
    places = Places(home, record.id)
    Networks.of(home).disconnect(record.id)
    Rootfs(places.rootfs, places.folder).unmount()
    shutil.rmtree(places.bundle, ignore_errors=True)
    _remove_cgroups(places.cgroup)


def _remove_cgroups(path: str) -> None:
    """Remove the container's control groups, which its runtime does unless it was killed."""
    for hierarchy in (CGROUPS, *CGROUPS.glob("*")):
        with contextlib.suppress(OSError):
            os.rmdir(f"{hierarchy}{path}")


def undo_start(
    home: Home,
    record: Record,
    error: str = "",
    *,
    wanted: Literal["running", "stopped"] = "stopped",
) -> Record:
    """Take down a start that failed or was killed; the container is as before it, and not wanted.

    With `wanted` "running" it is started again if its restart policy says so.
    """
    end_task(home, record)
    clear(home, record)
    return Records.of(home).save(
        record._replace(
            state="exited" if record.started_at else "created",
            wanted=wanted,
            error=error,
            pid=0,
            shim="",
            ports=(),
            endpoints=(),
        )
    )


def finish(
    home: Home, record: Record, ended: client.Exit | None, *, out_of_memory: bool = False
) -> Record:
    """Record how a container ended and take down what it had; `ended` None: its shim was killed.

    The caller holds the container's lock and has seen that it is recorded as running. It passes on
    what it saw of was_out_of_memory() if it has tried this before.
    """
    out_of_memory |= was_out_of_memory(home, record.id)
    deleted = end_task(home, record)
    clear(home, record)
    known = ended or deleted
    return Records.of(home).save(
        record._replace(
            state="exited",
            pid=0,
            shim="",
            exit_code=known.status if known else 128 + signal.SIGKILL,
            finished_at=known.at_ns / 1e9 if known and known.at_ns else time.time(),
            health="none",
            ports=(),
            endpoints=(),
            out_of_memory=out_of_memory,
        )
    )


def was_out_of_memory(home: Home, container: str) -> bool:
    """Tell whether the kernel killed a process for the limit, as long as the control group is there."""
    path = Places(home, container).cgroup
    for file in (f"memory{path}/memory.oom_control", f"{path[1:]}/memory.events"):
        with contextlib.suppress(OSError):
            counts = dict(line.split() for line in (CGROUPS / file).read_text().splitlines())
            return counts.get("oom_kill", "0") != "0"
    return False


def release_zygote(home: Home) -> None:
    """Let the shims' zygote end if no container needs it."""
    if not any(record.state in {"running", "starting"} for record in Records.of(home).all()):
        client.release_zygote(str(home.run))


def discard(home: Home, record: Record, *, volumes: bool) -> None:
    """Remove a container that does not run, its anonymous volumes too if asked."""
    records = Records.of(home)
    # What is left in the record goes as well, so that a killed removal can be completed from it.
    record = records.save(
        record._replace(state="removing", volumes=record.volumes if volumes else ())
    )
    clear(home, record)
    for volume in record.volumes:
        Volumes.of(home).remove(volume.name)
    records.drop(record.id)
