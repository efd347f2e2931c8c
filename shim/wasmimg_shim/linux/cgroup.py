"""A container's cgroup: one folder in each hierarchy of version 1, or one in version 2.

Which hierarchies there are is read from /proc/self/cgroup, never from the mount table, which is
long on a busy host. The folders made are recorded in a file, so that whoever cleans up after a
crash removes exactly these.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import NamedTuple

from wasmimg_images.errors import HostError, RunError
from wasmimg_shim.linux import device_filter, limits
from wasmimg_shim.linux.cgroup_path import cgroups_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_shim.spec import Resources

MOUNT = "/sys/fs/cgroup"
#: there where systemd is the init system (sd_booted(3))
BOOTED = "/run/systemd/system"
#: how long to wait for killed processes to leave, in seconds, and how often to look
PATIENCE, INTERVAL = 2.0, 0.005
#: the hierarchies that systemd itself makes and removes a unit's folder in
MANAGED = ("", "systemd")
V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")


class Hierarchy(NamedTuple):
    """A mounted hierarchy; `name` is its folder's, "" for the single one of version 2."""

    name: str
    mount: str
    own: str

    @property
    def controllers(self) -> tuple[str, ...]:
        """The controllers of version 1 that it holds."""
        return tuple(self.name.split(","))

    def locate(self, path: str) -> str:
        """Find a container's folder: absolute below the mount, relative below the caller's own."""
        base = self.mount if path.startswith("/") else os.path.join(self.mount, self.own.strip("/"))
        return os.path.normpath(os.path.join(base, path.lstrip("/")))


def hierarchies(own: str, mount: str = MOUNT) -> tuple[Hierarchy, ...]:
    """Read the hierarchies out of the text of /proc/self/cgroup (cgroups(7))."""
    found: list[Hierarchy] = []
    unified = ""
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            unified = path
            continue
        name = controllers.removeprefix("name=")
        directory = os.path.join(mount, name)
        if os.path.isdir(directory):
            found.append(Hierarchy(name, directory, path))
    if found:
        return tuple(found)
    if os.path.exists(os.path.join(mount, "cgroup.controllers")):
        return (Hierarchy("", mount, unified),)
    raise HostError(f"no cgroups at {mount}", hint="mount them, as systemd does at boot")


class Cgroup:
    """The folders of one container, as (hierarchy's name, path).

    `record` is the file that names them while they may exist, once there is one. `managed` says that
    systemd made what is its own of them (`MANAGED`), and is to remove it.
    """

    def __init__(
        self,
        folders: tuple[tuple[str, str], ...],
        record: str | None = None,
        *,
        managed: bool = False,
    ) -> None:
        self.folders = folders
        self.record = record
        self.managed = managed

    @classmethod
    def plan(cls, path: str, container_id: str) -> Cgroup:
        """Find the folders for a container on this host; makes nothing."""
        with open("/proc/self/cgroup", encoding="utf-8") as stream:
            found = hierarchies(stream.read())
        place = cgroups_path(path, container_id)
        return cls(tuple((hierarchy.name, hierarchy.locate(place)) for hierarchy in found))

    @classmethod
    def recall(cls, record: str) -> Cgroup:
        """Read what `create` recorded; nothing recorded means no folders."""
        try:
            with open(record, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return cls(())
        folders = tuple(_recorded(line) for line in lines if line)
        scope = all(path.endswith(".scope") for _, path in folders)
        return cls(folders, record, managed=scope and os.path.isdir(BOOTED))

    @property
    def unified(self) -> bool:
        """Whether this is version 2."""
        return [name for name, _ in self.folders] == [""]

    def create(self, record: str) -> None:
        """Write the record, then make the folders; none is left if that fails.

        Raises RunError where processes are in one of them already: then it is another container's,
        and stays as it is.
        """
        for _, path in self.folders:
            _refuse_populated(path)
        self._write_record(record)
        made: list[tuple[str, str]] = []
        try:
            for name, path in self.folders:
                if name == "cpuset":
                    _make_cpuset(path)
                elif self.unified:
                    _make_unified(path)
                else:
                    _make(path)
                made.append((name, path))
        except BaseException:
            Cgroup(tuple(made), record).remove()
            raise

    def adopt(self, record: str) -> None:
        """Write the record; take the folders that systemd has made, and make those it does not."""
        self.managed = True
        self._write_record(record)
        for name, path in self.folders:
            if name == "cpuset":
                _make_cpuset(path)
            elif name not in MANAGED:
                os.makedirs(path, 0o755, exist_ok=True)

    def _write_record(self, record: str) -> None:
        with open(record, "w", encoding="utf-8") as stream:
            stream.writelines(f"{name}\t{path}\n" for name, path in self.folders)
        self.record = record

    def limit(self, resources: Resources) -> None:
        """Write the limits; an OSError names the file."""
        plan = limits.version_2 if self.unified else limits.version_1
        for controller, file, value in plan(resources):
            _write(os.path.join(self._folder(controller, file), file), value)
        if self.unified and resources.devices and not self.managed:  # systemd has its own
            device_filter.attach(self.folders[0][1], resources.devices)

    def _folder(self, controller: str, file: str) -> str:
        for name, path in self.folders:
            if not name or controller in name.split(","):
                return path
        raise HostError(
            f"cannot set {file}: this host has no cgroup controller {controller!r}",
            hint="enable it on the kernel's command line, or drop the limit",
        )

    def enter(self) -> None:
        """Move the calling process, which has one thread, in; what it makes is born there.

        A thread that moves itself needs no lock of the whole kernel: ten milliseconds and more
        that another process, or `cgroup.procs`, would wait for (Linux, cgroup_procs_write_start).
        """
        file = "cgroup.procs" if self.unified else "tasks"
        for _, path in self.folders:
            _write(os.path.join(path, file), "0")

    def processes(self) -> tuple[int, ...]:
        """List the container's processes by the host's numbers."""
        for _, path in self.folders:
            with contextlib.suppress(FileNotFoundError):
                return tuple(pid for folder in _tree(path) for pid in _procs(folder))
        return ()

    def oom_kills(self) -> int:
        """Count the processes that the kernel killed for the memory limit."""
        for name, path in self.folders:
            if self.unified or name == "memory":
                file = "memory.events" if self.unified else "memory.oom_control"
                with contextlib.suppress(FileNotFoundError), open(os.path.join(path, file)) as text:
                    return sum(
                        int(line.split()[1]) for line in text if line.startswith("oom_kill ")
                    )
        return 0

    def kill(self) -> None:
        """Kill what is left in it."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def left_to_systemd(self) -> bool:
        """Whether systemd has still to remove its own: an empty scope goes by itself.

        If its folder were removed from under it, systemd might never hear that it is empty.
        """
        return self.managed and any(
            name in MANAGED and os.path.isdir(path) for name, path in self.folders
        )

    def remove(self) -> None:
        """Kill what is left, remove the folders and the record; none left is no error.

        Waits up to two seconds for processes that can't die at once (they are in the kernel), and
        as long for systemd.
        """
        self.kill()
        deadline = time.monotonic() + PATIENCE
        while self.left_to_systemd and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        deadline = time.monotonic() + PATIENCE
        for _, path in self.folders:
            while not _removed(path):
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, "processes are left in the cgroup", path)
                time.sleep(INTERVAL)
        if self.record is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.record)


def _recorded(line: str) -> tuple[str, str]:
    name, _, path = line.partition("\t")
    return name, path


def _refuse_populated(path: str) -> None:
    """Refuse a folder that is in use; one that a crashed run has left goes, with its limits."""
    if not os.path.isdir(path):
        return
    if any(_procs(folder) for folder in _tree(path)) or not _removed(path):
        raise RunError(
            f"{path}: the cgroup has processes in it", hint="is the container running already?"
        )


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.mkdir(path, 0o755)


def _make_cpuset(path: str) -> None:
    """Make a cpuset: version 1 lets nobody in before every level has processors and memory."""
    parent = os.path.dirname(path)
    if not os.path.isdir(path):
        if not os.path.isdir(parent):
            _make_cpuset(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
    for file in ("cpuset.cpus", "cpuset.mems"):
        with open(os.path.join(path, file)) as stream:
            present = stream.read().strip()
        if not present:
            with open(os.path.join(parent, file)) as stream:
                _write(os.path.join(path, file), stream.read().strip())


def _make_unified(path: str) -> None:
    """Make a folder of version 2, with its controllers switched on in all above it."""
    missing: list[str] = []
    parent = os.path.dirname(path)
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for folder in (*reversed(missing), path):
        above = os.path.dirname(folder)
        with open(os.path.join(above, "cgroup.controllers")) as stream:
            present = stream.read().split()
        for controller in V2_CONTROLLERS:
            if controller in present:
                # EBUSY where processes are in the inner folder: then the limit's write reports it
                with contextlib.suppress(OSError):
                    _write(os.path.join(above, "cgroup.subtree_control"), f"+{controller}")
        _make(folder)


def _write(path: str, value: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)} ({value!r})", path) from None


def _tree(path: str) -> Iterator[str]:
    """Walk the folder and those in it, the inner ones first."""
    with os.scandir(path) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for folder in inner:
        yield from _tree(folder)
    yield path


def _procs(path: str) -> tuple[int, ...]:
    with open(os.path.join(path, "cgroup.procs")) as stream:
        return tuple(int(line) for line in stream)


def _removed(path: str) -> bool:
    """Try to remove a folder and those in it; False while processes are in one of them."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise
        try:
            for folder in _tree(path):
                os.rmdir(folder)
        except FileNotFoundError:
            return _removed(path)
        except OSError:
            return False
    return True
