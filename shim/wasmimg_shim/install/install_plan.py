"""The plan of `wasmimg install`. Reads files, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import HostError
from wasmimg_shim.install import daemon_json, launchers
from wasmimg_shim.install.machine import ContainerdHost, DockerHost
from wasmimg_shim.install.operations import (
    CheckDaemonJson,
    ProveContainerd,
    ProveDocker,
    ReloadDocker,
    RestartDocker,
    SweepContainerd,
    SweepDocker,
    WriteFile,
)
from wasmimg_shim.install.placing import Placing, is_known
from wasmimg_shim.install.plan import RUNTIME_TYPE_SINCE, SHIMS_SINCE, Plan
from wasmimg_shim.install.record import Entry
from wasmimg_shim.install.rooted import digest

if TYPE_CHECKING:
    from wasmimg_shim.install.launchers import Launcher
    from wasmimg_shim.install.machine import Machine
    from wasmimg_shim.install.operations import Operation
    from wasmimg_shim.install.plan import Files
    from wasmimg_shim.install.record import Record

RUNTIME: Final = f"io.containerd.{launchers.OWN}.v1"
BIN_DIR: Final = "/usr/local/bin"


class Options(NamedTuple):
    """What the user has asked for."""

    bin_dir: str = BIN_DIR
    drop_ins: bool = True
    force: bool = False
    restart: bool = False
    proof: bool = True
    keep_image_store: bool = False

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The names of the runtimes to install."""
        return (launchers.OWN, *(launchers.DROP_INS if self.drop_ins else ()))


def plan(
    machine: Machine,
    files: Files,
    launcher: Launcher,
    record: Record,
    record_path: str,
    options: Options,
) -> Plan:
    """Plan an installation, or the rest of one that was interrupted.

    Raises InvalidInput for a daemon.json that can't be read and for files of other programs,
    HostError for an engine that can't run shims or can't be restarted.
    """
    placing = Placing(files, record, force=options.force)
    planner = _Planner(placing, options)
    planner.note_what_rests(machine)
    for name in options.runtimes:
        placing.add_launcher(launchers.program(options.bin_dir, name), launcher.text)
    if machine.docker is not None:
        planner.add_docker(machine.docker)
    if machine.containerd is not None and machine.containerd.address is not None:
        if machine.containerd.leftovers:
            placing.operations.append(SweepContainerd(machine.containerd.address))
        if options.proof:
            runtime = RUNTIME
            if not planner.is_searched("containerd", machine.containerd.search):
                runtime = launchers.program(options.bin_dir, launchers.OWN)
            placing.operations.append(ProveContainerd(machine.containerd.address, runtime))
    if launcher.exposed:
        planner.notes.append(
            f"{launcher.exposed[0]} can be changed by others than root, and containerd runs it as root"
        )
    if not files.exists(launcher.python):
        planner.notes.append(f"there is no {launcher.python} yet: install wasmimg there as well")
    operations = placing.operations
    if placing.record != record:
        noted = WriteFile(record_path, placing.record.encode(), 0o644, "what uninstall undoes")
        operations = [noted, *operations]
    return Plan((*planner.checks, *operations), tuple(planner.notes), planner.asks)


class _Planner:
    """Decides what the engines are told, and what the user is."""

    def __init__(self, placing: Placing, options: Options) -> None:
        self.placing = placing
        self.options = options
        self.checks: list[Operation] = []
        self.notes: list[str] = []
        self.asks: str | None = None

    def note_what_rests(self, machine: Machine) -> None:
        """Say which engine can't be asked and is not proved."""
        idle = [
            name
            for name, host in (("Docker", machine.docker), ("containerd", machine.containerd))
            if (isinstance(host, DockerHost) and host.pid is None)
            or (isinstance(host, ContainerdHost) and host.address is None)
        ]
        if idle and self.options.proof:
            self.notes.append(f"{' and '.join(idle)} can't be reached: no proof by a run")

    def add_docker(self, docker: DockerHost) -> None:
        """Tell Docker of the runtimes, and make it read that."""
        version = docker.version
        if version is not None and version.major < SHIMS_SINCE:
            raise HostError(
                f"Docker {version} can't run containerd shims",
                hint=f"Docker {SHIMS_SINCE}.0 and later can; --host containerd leaves Docker alone",
            )
        registers = version is None or version.major >= RUNTIME_TYPE_SINCE
        if docker.socket is not None and docker.leftovers:
            self.placing.operations.append(SweepDocker(docker.socket))
        wrote, restart = self._add_daemon_json(docker) if registers else (False, False)
        if not registers:
            self.notes.append(f"Docker {version} knows the runtime only as {RUNTIME}")
        searched = self.is_searched("Docker's containerd", docker.search)
        if not (registers or searched):
            raise HostError(
                f"Docker {version} finds shims only on its PATH, where {self.options.bin_dir} is not",
                hint="choose a folder of its PATH with --bin-dir",
            )
        self._apply(docker, wrote=wrote, restart=restart, registers=registers)
        if (
            self.options.proof
            and docker.socket is not None
            and (not restart or self.options.restart)
        ):
            known = (launchers.OWN,) if registers else ()
            runtimes = (*known, *((RUNTIME,) if searched else ()))
            self.placing.operations.append(ProveDocker(docker.socket, runtimes))

    def _apply(self, docker: DockerHost, *, wrote: bool, restart: bool, registers: bool) -> None:
        """Make a Docker that runs read its configuration."""
        if docker.pid is None or docker.socket is None:
            return
        if restart and self.options.restart:
            if not docker.systemd:
                raise HostError(
                    "Docker can't be restarted: it is not systemd that runs it",
                    hint="install without --restart, and restart dockerd yourself",
                )
            self.placing.operations.append(RestartDocker(docker.socket))
            return
        if restart:
            self.notes.append(
                "Docker's image store changes when Docker is restarted: systemctl restart docker;"
                " then `wasmimg install` proves it"
            )
        names = frozenset(self.options.runtimes) if registers else frozenset[str]()
        if wrote or names - docker.runtimes:
            self.placing.operations.append(
                ReloadDocker(docker.pid, docker.socket, names, frozenset[str]())
            )

    def _add_daemon_json(self, docker: DockerHost) -> tuple[bool, bool]:
        """Return whether the file is to be written, and whether Docker has to be restarted for it."""
        path = docker.config
        current = self.placing.files.read(path)
        entry = self.placing.record.entry(path)
        settings = [
            daemon_json.runtime(name, launchers.program(self.options.bin_dir, name))
            for name in self.options.runtimes
        ]
        self._refuse_flag(docker, "add-runtime", "runtimes")
        if not (docker.snapshotter or self.options.keep_image_store):
            self._refuse_flag(docker, "feature", "features")
            settings.append(daemon_json.Setting(daemon_json.SNAPSHOTTER, value=True))
        merged = daemon_json.merge(
            current,
            settings,
            path,
            ours=entry.changes if entry else (),
            force=self.options.force,
        )
        if merged.changes:
            if docker.program is not None:
                self.checks.append(CheckDaemonJson(docker.program, path, merged.raw))
            self._write_daemon_json(path, current, merged, entry)
        on = daemon_json.value_at(merged.raw, daemon_json.SNAPSHOTTER, path) is True
        self._ask_about_images(docker, merged)
        return bool(merged.changes), on and not docker.snapshotter

    def _write_daemon_json(
        self, path: str, current: bytes | None, merged: daemon_json.Merged, entry: Entry | None
    ) -> None:
        names = ", ".join(change.name for change in merged.changes if change.value != {})
        mode = self.placing.files.mode(path, 0o644)
        add = f"add {names}"
        if entry is not None and (current is not None and digest(current) in entry.ours):
            changes = (*entry.changes, *merged.changes)
            self.placing.replace(
                path, merged.raw, mode, add, entry._replace(changes=changes), keep=False
            )
        elif entry is None or is_known(entry, current):
            before = None if current is None else digest(current)
            backup = entry.backup if entry is not None else None
            if backup is None and before is not None:
                backup = self.placing.fresh_backup(path)
            new = Entry(path, before, backup, entry.ours if entry else (), merged.changes)
            self.placing.replace(path, merged.raw, mode, add, new, keep=before is not None)
        else:  # somebody has changed it since: what was there before that is not to come back
            changed = entry._replace(changes=(*entry.changes, *merged.changes))
            self.placing.replace(path, merged.raw, mode, add, changed, keep=False)
            self.placing.record = self.placing.record.with_entry(changed._replace(ours=()))

    def _refuse_flag(self, docker: DockerHost, flag: str, key: str) -> None:
        if flag in docker.flags:
            raise HostError(
                f"dockerd runs with --{flag}, and then refuses {key} in {docker.config}",
                hint=f"move what --{flag} says into {docker.config}",
            )

    def _ask_about_images(self, docker: DockerHost, merged: daemon_json.Merged) -> None:
        turned_on = [c for c in merged.changes if c.path == daemon_json.SNAPSHOTTER]
        images, containers = docker.hidden
        if turned_on and (images or containers):
            self.asks = (
                f"Docker's image store changes: its {_count(images, 'image')} and"
                f" {_count(containers, 'container')} are not shown until"
                " features.containerd-snapshotter is off again"
            )
        elif turned_on and turned_on[0].previous:
            self.asks = (
                f"features.containerd-snapshotter is off in {docker.config}, and is turned on"
            )

    def is_searched(self, who: str, search: tuple[str, ...]) -> bool:
        """Tell whether an engine finds the launchers by name; a note says so if not."""
        if not search or self.options.bin_dir in search:
            return True
        self.notes.append(
            f"{self.options.bin_dir} is not on the PATH of {who}: {RUNTIME} is not found there"
        )
        return False


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
