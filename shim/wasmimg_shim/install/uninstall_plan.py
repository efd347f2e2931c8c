"""The plan of `wasmimg uninstall`. Reads files, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import daemon_json
from wasmimg_shim.install.operations import (
    EndZygotes,
    Operation,
    ReloadDocker,
    RemoveFile,
    RemoveFolder,
    RestartDocker,
    Restore,
    SweepContainerd,
    SweepDocker,
    WriteFile,
)
from wasmimg_shim.install.plan import SNAPSHOTTER_DEFAULT_SINCE, Plan
from wasmimg_shim.install.rooted import digest

if TYPE_CHECKING:
    from wasmimg_shim.install.machine import DockerHost, Machine
    from wasmimg_shim.install.plan import Files
    from wasmimg_shim.install.record import Entry, Record


def plan(
    machine: Machine,
    files: Files,
    record: Record,
    record_path: str,
    run_dir: str | None,
    *,
    force: bool = False,
    restart: bool = False,
) -> Plan:
    """Plan to undo an installation, or the rest of that.

    `run_dir` is where zygotes are met, None if they would be another machine's.

    Raises InvalidInput while containers of ours run (unless `force`), and for a daemon.json that
    can't be read any more; HostError if Docker is to be restarted and can't be.
    """
    running = [
        *(machine.docker.running if machine.docker else ()),
        *(machine.containerd.running if machine.containerd else ()),
    ]
    if running and not force:
        raise InvalidInput(
            f"containers run that need what would be removed: {', '.join(running)}",
            hint="stop them first, or use --force",
        )
    planner = _Planner(files)
    if machine.docker is not None and machine.docker.leftovers and machine.docker.socket:
        planner.operations.append(SweepDocker(machine.docker.socket))
    if (
        machine.containerd is not None
        and machine.containerd.leftovers
        and machine.containerd.address
    ):
        planner.operations.append(SweepContainerd(machine.containerd.address))
    for entry in reversed(record.entries):
        planner.undo(entry)
    if machine.docker is not None:
        planner.tell_docker(machine.docker, restart=restart)
    if run_dir is not None and (files.exists(record_path) or planner.operations):
        planner.operations.append(EndZygotes(run_dir))
    planner.operations += [RemoveFolder(folder) for folder in reversed(record.folders)]
    if files.exists(record_path):
        planner.operations += [RemoveFile(record_path), RemoveFolder(_parent(record_path))]
    return Plan(tuple(planner.operations), tuple(planner.notes))


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


class _Planner:
    def __init__(self, files: Files) -> None:
        self.files = files
        self.operations: list[Operation] = []
        self.notes: list[str] = []
        #: path of a daemon.json -> what is in it now and will be
        self.contents: dict[str, tuple[bytes | None, bytes | None]] = {}
        self.runtimes: frozenset[str] = frozenset()

    def undo(self, entry: Entry) -> None:
        """Undo one file, whatever has become of it."""
        current = self.files.read(entry.path)
        found = None if current is None else digest(current)
        kept = self._kept(entry)
        if entry.changes:
            names = [
                change.path[1]
                for change in entry.changes
                if change.path[0] == "runtimes" and change.path[1:]
            ]
            self.runtimes |= frozenset(names)
            self.contents[entry.path] = (current, current)
        if found == entry.before and found not in entry.ours:
            self._drop(entry, kept)
        elif current is None or found in entry.ours:
            self._put_back(entry, current, kept)
        elif entry.changes:
            self._remove_changes(entry, current)
            self._drop(entry, kept)
        else:
            also = f"; what was there before is {entry.backup}" if kept is not None else ""
            self.notes.append(f"{entry.path} was replaced by somebody else and stays{also}")

    def _kept(self, entry: Entry) -> bytes | None:
        """Read the backup, if it is there and is what was kept."""
        kept = self.files.read(entry.backup) if entry.backup is not None else None
        return kept if kept is not None and digest(kept) == entry.before else None

    def _drop(self, entry: Entry, kept: bytes | None) -> None:
        if entry.backup is not None and kept is not None:
            self.operations.append(RemoveFile(entry.backup))

    def _put_back(self, entry: Entry, current: bytes | None, kept: bytes | None) -> None:
        """Restore what was there before; a file that somebody removed comes back as well."""
        if kept is not None and entry.backup is not None:
            self.operations.append(Restore(entry.path, entry.backup))
        elif entry.before is not None and entry.changes and current is not None:
            self.notes.append(f"{entry.backup} is gone: only our keys are removed")
            self._remove_changes(entry, current)
            return
        else:
            if entry.before is not None:
                self.notes.append(f"{entry.backup} is gone: {entry.path} can't be put back")
            if current is not None:
                self.operations.append(RemoveFile(entry.path))
        if entry.changes:
            self.contents[entry.path] = (current, kept)

    def _remove_changes(self, entry: Entry, current: bytes) -> None:
        unmerged = daemon_json.unmerge(current, entry.changes, entry.path)
        self.notes.extend(
            f"{entry.path}: {change.name} was changed since and stays" for change in unmerged.kept
        )
        left: bytes | None = unmerged.raw
        if entry.before is None and daemon_json.is_empty(unmerged.raw):
            left = None
            self.operations.append(RemoveFile(entry.path))
        elif unmerged.raw != current:
            self.notes.append(f"{entry.path} was changed since: only our keys are removed")
            mode = self.files.mode(entry.path, 0o644)
            self.operations.append(
                WriteFile(entry.path, unmerged.raw, mode, "without our keys, all else as it is")
            )
        self.contents[entry.path] = (current, left)

    def tell_docker(self, docker: DockerHost, *, restart: bool) -> None:
        """Have Docker read what is left of its configuration."""
        if docker.config not in self.contents:
            return
        now, then = self.contents[docker.config]
        left = _runtimes(then, docker.config)
        default = daemon_json.value_at(then, ("default-runtime",), docker.config)
        if default in self.runtimes - left:
            raise InvalidInput(
                f"{docker.config}: default-runtime is {default}, which would be gone",
                hint="set another one first",
            )
        if docker.pid is None or docker.socket is None:
            return
        if self._changes_store(docker, then):
            if not restart:
                self.notes.append(
                    "Docker goes back to its own image store when it is restarted:"
                    " systemctl restart docker"
                )
            elif not docker.systemd:
                raise HostError(
                    "Docker can't be restarted: it is not systemd that runs it",
                    hint="uninstall without --restart, and restart dockerd yourself",
                )
            else:
                self.operations.append(RestartDocker(docker.socket))
                return
        if now != then or docker.runtimes & (self.runtimes - left):
            self.operations.append(
                ReloadDocker(docker.pid, docker.socket, self.runtimes & left, self.runtimes - left)
            )

    def _changes_store(self, docker: DockerHost, then: bytes | None) -> bool:
        """Tell whether Docker will have another image store after a restart."""
        if not docker.snapshotter:
            return False
        is_default = docker.version is None or docker.version.major >= SNAPSHOTTER_DEFAULT_SINCE
        return (
            not is_default
            and daemon_json.value_at(then, daemon_json.SNAPSHOTTER, docker.config) is not True
        )


def _runtimes(raw: bytes | None, where: str) -> frozenset[str]:
    found = daemon_json.value_at(raw, ("runtimes",), where)
    return frozenset(cast("dict[str, object]", found)) if isinstance(found, dict) else frozenset()
