"""The plan of `wasmimg uninstall`. Reads files, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

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

_MODE: Final = 0o644


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
    operations: list[Operation] = []
    if machine.docker is not None and machine.docker.leftovers and machine.docker.socket:
        operations.append(SweepDocker(machine.docker.socket))
    if (
        machine.containerd is not None
        and machine.containerd.leftovers
        and machine.containerd.address
    ):
        operations.append(SweepContainerd(machine.containerd.address))
    undoing = _Undoing(files)
    for entry in reversed(record.entries):
        undone = undoing.undo(entry)
        if machine.docker is not None and entry.path == machine.docker.config and entry.changes:
            store = _Store(record, record_path, files.exists(record_path))
            undone = undoing.tell_docker(machine.docker, entry, undone, store, restart=restart)
        operations += undone
    noted = files.exists(record_path)
    if run_dir is not None and (noted or operations):
        operations.append(EndZygotes(run_dir))
    operations += [RemoveFolder(folder) for folder in reversed(record.folders)]
    if noted:
        operations += [RemoveFile(record_path), RemoveFolder(record_path.rpartition("/")[0] or "/")]
    return Plan(tuple(operations), tuple(undoing.notes))


class _Undoing:
    """Finds what undoes each file, and how Docker gets to know of it."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.notes: list[str] = []
        #: what daemon.json holds now and will hold
        self.now: bytes | None = None
        self.then: bytes | None = None

    def undo(self, entry: Entry) -> list[Operation]:
        """Undo one file, whatever has become of it."""
        current = self.files.read(entry.path)
        found = None if current is None else digest(current)
        kept = self._kept(entry)
        self.now = self.then = current
        if found == entry.before and found not in entry.ours:
            return _drop(entry, kept)
        if current is None or found in entry.ours:
            return self._put_back(entry, current, kept)
        if entry.changes:
            return [*self._remove_changes(entry, current), *_drop(entry, kept)]
        also = f"; what was there before is {entry.backup}" if kept is not None else ""
        self.notes.append(f"{entry.path} was replaced by somebody else and stays{also}")
        return []

    def _kept(self, entry: Entry) -> bytes | None:
        """Read the backup, if it is there and is what was kept."""
        kept = self.files.read(entry.backup) if entry.backup is not None else None
        return kept if kept is not None and digest(kept) == entry.before else None

    def _put_back(self, entry: Entry, current: bytes | None, kept: bytes | None) -> list[Operation]:
        """Restore what was there before; a file that somebody removed comes back as well."""
        if kept is not None and entry.backup is not None:
            self.then = kept
            over = None if current is None else digest(current)
            return [Restore(entry.path, entry.backup, over)]
        if entry.before is not None and entry.changes and current is not None:
            self.notes.append(f"{entry.backup} is gone: only our keys are removed")
            return self._remove_changes(entry, current)
        if entry.before is not None:
            self.notes.append(f"{entry.backup} is gone: {entry.path} can't be put back")
        self.then = None
        return [RemoveFile(entry.path, digest(current))] if current is not None else []

    def _remove_changes(self, entry: Entry, current: bytes) -> list[Operation]:
        unmerged = daemon_json.unmerge(current, entry.changes, entry.path)
        self.notes.extend(
            f"{entry.path}: {change.name} was changed since and stays" for change in unmerged.kept
        )
        self.then = unmerged.raw
        if entry.before is None and daemon_json.is_empty(unmerged.raw):
            self.then = None
            return [RemoveFile(entry.path, digest(current))]
        if unmerged.raw == current:
            return []
        self.notes.append(f"{entry.path} was changed since: only our keys are removed")
        mode = self.files.mode(entry.path, _MODE)
        what = "without our keys, all else as it is"
        return [WriteFile(entry.path, unmerged.raw, mode, what, digest(current))]

    def tell_docker(
        self,
        docker: DockerHost,
        entry: Entry,
        undone: list[Operation],
        store: _Store,
        *,
        restart: bool,
    ) -> list[Operation]:
        """Add to what undoes daemon.json that Docker reads it."""
        left = _runtimes(self.then, docker.config)
        names = frozenset(
            c.path[1] for c in entry.changes if c.path[0] == "runtimes" and c.path[1:]
        )
        gone = names - left
        default = daemon_json.value_at(self.then, ("default-runtime",), docker.config)
        if default in gone:
            raise InvalidInput(
                f"{docker.config}: default-runtime is {default}, which would be gone",
                hint="set another one first",
            )
        if docker.pid is None or docker.socket is None:
            return undone
        if self._changes_store(docker):
            if restart and not docker.systemd:
                raise HostError(
                    "Docker can't be restarted: it is not systemd that runs it",
                    hint="uninstall without --restart, and restart dockerd yourself",
                )
            if restart:
                return [*undone, RestartDocker(docker.socket)]
            self.notes.append(
                "Docker goes back to its own image store when it is restarted:"
                " systemctl restart docker"
            )
        reload = ReloadDocker(docker.pid, docker.socket, names & left, gone)
        if self.now == self.then:  # then its file is not ours to touch any more
            if docker.runtimes & gone:
                self.notes.append("Docker knows the runtimes' names until it is restarted")
            return undone
        if not docker.runtimes & gone:
            return [*undone, reload]
        if daemon_json.value_at(self.then, ("runtimes",), docker.config) is not None:
            return [*undone, reload]
        return self._forget(entry, store, reload, undone)

    def _forget(
        self, entry: Entry, store: _Store, reload: ReloadDocker, undone: list[Operation]
    ) -> list[Operation]:
        """Have dockerd forget our runtimes: a file that does not name any leaves it those it knows."""
        none = daemon_json.Setting(("runtimes",), {})
        nothing = daemon_json.merge(self.then, [none], entry.path, force=True).raw
        mode = self.files.mode(entry.path, _MODE)
        over = None if self.now is None else digest(self.now)
        what = "no runtimes, for Docker to forget them"
        operations: list[Operation] = []
        if entry.ours and store.noted:
            ours = (*entry.ours, digest(nothing))
            record = store.record.with_entry(entry._replace(ours=ours))
            operations.append(
                WriteFile(store.path, record.encode(), _MODE, "what uninstall undoes")
            )
        operations += [WriteFile(entry.path, nothing, mode, what, over), reload]
        for operation in undone:
            match operation:
                case WriteFile() | Restore() | RemoveFile() if operation.path == entry.path:
                    operations.append(operation._replace(over=digest(nothing)))
                case _:
                    operations.append(operation)
        return operations

    def _changes_store(self, docker: DockerHost) -> bool:
        """Tell whether Docker will have another image store after a restart."""
        if not docker.snapshotter:
            return False
        is_default = docker.version is None or docker.version.major >= SNAPSHOTTER_DEFAULT_SINCE
        on = daemon_json.value_at(self.then, daemon_json.SNAPSHOTTER, docker.config) is True
        return not (is_default or on)


class _Store(NamedTuple):
    """The record, and where it is kept."""

    record: Record
    path: str
    noted: bool


def _drop(entry: Entry, kept: bytes | None) -> list[Operation]:
    return [RemoveFile(entry.backup)] if entry.backup is not None and kept is not None else []


def _runtimes(raw: bytes | None, where: str) -> frozenset[str]:
    found = daemon_json.value_at(raw, ("runtimes",), where)
    return frozenset(cast("dict[str, object]", found)) if isinstance(found, dict) else frozenset()
