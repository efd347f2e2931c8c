"""What a shim notes in the bundle for the delete verb, in case the shim is killed."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.sandbox import CGROUP_RECORD

FILE = "wasmimg.task"
#: proc(5), /proc/pid/stat: field 22 is the start time; the second may hold spaces and ends in ")"
_START_TIME = 22 - 3


class Record(NamedTuple):
    """A container's init, told from later processes of its pid by its start time (clock ticks).

    `pid` is 0 as long as there is no init.
    """

    pid: int = 0
    started: int = 0
    runc_root: str = ""
    mounted: bool = False


def started(pid: int) -> int:
    """Return a process's start time; raises ProcessLookupError."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[_START_TIME])
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def write(bundle: str, record: Record) -> None:
    """Put the record into the bundle, whole or not at all."""
    temporary = f"{bundle}/{FILE}.tmp"
    with open(temporary, "w") as file:
        json.dump(record._asdict(), file)
    os.rename(temporary, f"{bundle}/{FILE}")


def read(bundle: str) -> Record | None:
    """Return the record of a bundle, None if there is none; raises InvalidInput."""
    path = f"{bundle}/{FILE}"
    try:
        with open(path) as file:
            document: object = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from error
    match document:
        case {
            "pid": int(pid),
            "started": int(start),
            "runc_root": str(root),
            "mounted": bool(mounted),
        }:
            return Record(pid, start, root, mounted)
        case _:
            raise InvalidInput(f"{path}: not a record of a container")


def remove(bundle: str) -> None:
    """Forget the container, once its cgroup has been removed."""
    for name in (FILE, CGROUP_RECORD):
        with suppress(FileNotFoundError):
            os.unlink(f"{bundle}/{name}")


def kill(record: Record) -> None:
    """Kill the recorded process if it is still that one."""
    if not record.pid:
        return
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(record.pid)
        try:
            # Looked at after the descriptor was opened: no other process can take its place now.
            if started(record.pid) == record.started:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
