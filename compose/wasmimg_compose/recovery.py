"""Completing or undoing what a killed command or supervisor left: run before every command.

A lock that can be had means that whoever wrote the record's last state is gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from wasmimg_compose import restart, supervision, teardown
from wasmimg_compose.network.networks import Networks
from wasmimg_compose.record import Records
from wasmimg_images.errors import NotFound

if TYPE_CHECKING:
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


def recover(home: Home) -> None:
    """Clean up after the killed, and see to it that what runs has a supervisor."""
    records = Records.of(home)
    if not records.root.is_dir():
        return
    needed: set[str] = set()
    for container in os.listdir(records.root):
        with contextlib.suppress(NotFound):
            record = _settle(home, container)
            if record is not None and needs_supervisor(record):
                needed.add(record.spec.project)
    # A record is there before its container joins a network, and goes after it has left.
    Networks.of(home).prune(lambda container: records.folder(container).exists())
    for project in needed:
        supervision.ensure(home, project).close()
    for folder in (home.run / "projects").glob("*"):
        if folder.name not in needed:
            supervision.Door(folder).sweep()


def needs_supervisor(record: Record) -> bool:
    """Tell whether somebody has to look after a container."""
    return record.state == "running" or restart.is_waiting(record)


def _settle(home: Home, container: str) -> Record | None:
    """Bring a container that nobody works on into a state that lasts; None if it is gone."""
    records = Records.of(home)
    try:
        record = records.load(container)
    except NotFound:
        _sweep(records, container)
        return None
    if not record.is_half_made:
        return record
    with records.lock(container, wait=False) as mine:
        if not mine:
            return None
        record = records.load(container)
        match record.state:
            case "starting":
                # A supervisor that was restarting it has no caller who would ask again.
                undone = teardown.undo_start(
                    home,
                    record,
                    "who started it was killed",
                    wanted="running" if record.restarts else "stopped",
                )
                teardown.release_zygote(home)
                return undone
            case "removing":
                teardown.discard(home, record, volumes=True)
                return None
            case _:
                return record


def _sweep(records: Records, container: str) -> None:
    """Remove a folder whose maker was killed before the record was there."""
    with records.lock():  # who makes one holds this lock until the record is written
        if not (records.folder(container) / "record.json").exists():
            shutil.rmtree(records.folder(container), ignore_errors=True)
