"""The mounts of a container as a list of operation values: `describe()` says, `execute()` does.

A mount is made detached, gets its attributes, and only then is attached to a place found inside the
container's root: it never exists with wrong attributes, and no path is looked up twice.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import NamedTuple, Protocol

from wasmimg_shim.linux import libc
from wasmimg_shim.linux.mount_options import Attributes
from wasmimg_shim.linux.nodes import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.linux.root import Root

#: fsconfig(2) takes values up to this many bytes; overlay's lower directories are often longer
LONGEST_VALUE = 255
#: mount(2) silently cuts options off after a page
LONGEST_DATA = 4095
#: file systems that must lie on a real directory: through a link they would lie elsewhere, and
#: whoever writes to /proc/… afterwards would write to a file of the image
PLAIN_TARGETS = frozenset({"proc", "sysfs"})
READ_ONLY = Attributes(set=libc.MOUNT_ATTR_RDONLY)
#: a file system's options; a value of None is a flag
Data = tuple[tuple[str, str | None], ...]


class MountCalls(Protocol):
    """The privileged calls that operations make; a recording twin serves the tests."""

    def clone(self, source: str, *, recursive: bool) -> int:
        """Make a detached copy of the mounts at a path of the host; returns its descriptor."""
        ...

    def clone_at(self, place: int) -> int:
        """Make a detached recursive copy of the mounts at a descriptor."""
        ...

    def filesystem(self, kind: str, options: Data) -> int:
        """Make a detached mount of a new file system; returns its descriptor."""
        ...

    def change(self, mount: int, attributes: Attributes, *, recursive: bool) -> None:
        """Change a mount's attributes, or those of all mounts below it as well."""
        ...

    def attach(self, mount: int, place: int, path: str) -> None:
        """Attach a detached mount to a place; `path` is for error messages."""
        ...

    def mount(self, kind: str, source: str, place: int, data: str) -> None:
        """Mount the classic way, for options that are too long for the newer calls."""
        ...

    def make_node(self, directory: int, name: str, mode: int, device: int) -> None:
        """Make a device node or a FIFO."""
        ...

    def in_procfs(self, place: int) -> bool:
        """Tell whether a descriptor lies on procfs."""
        ...


class Operation(Protocol):
    """One step in the making of a container's file system."""

    def describe(self) -> str:
        """Say in one line what the step does."""
        ...

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Do it; an OSError names the path concerned."""
        ...


def _attach(calls: MountCalls, mount: int, place: int, destination: str) -> None:
    """Attach unless a link of the image led into procfs, whose files are the kernel's switches."""
    if calls.in_procfs(place) and not _below_proc(destination):
        raise OSError(errno.EXDEV, "the mount's target leads into /proc", destination)
    calls.attach(mount, place, destination)


def _below_proc(path: str) -> bool:
    return path == "/proc" or path.startswith("/proc/")


class Bind(NamedTuple):
    """Show a file or folder of the host in the container."""

    source: str
    destination: str
    recursive: bool = False
    top: Attributes = Attributes()
    below: Attributes = Attributes()

    def describe(self) -> str:
        """Say what is bound where."""
        how = "read-only" if self.top.set & libc.MOUNT_ATTR_RDONLY else "read-write"
        return f"bind {self.source} on {self.destination}, {how}"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Copy the mount, set its attributes, attach it; the target is made where missing."""
        mount = calls.clone(self.source, recursive=self.recursive)
        try:
            _change(calls, mount, self.top, self.below)
            is_directory = stat.S_ISDIR(os.fstat(mount).st_mode)
            make = root.directory if is_directory else root.file
            place = make(self.destination)
            try:
                _attach(calls, mount, place, self.destination)
            finally:
                os.close(place)
        finally:
            os.close(mount)


class Filesystem(NamedTuple):
    """Mount a new file system: proc, sysfs, tmpfs, devpts, mqueue, cgroup2, overlay and others."""

    kind: str
    source: str
    destination: str
    top: Attributes = Attributes()
    below: Attributes = Attributes()
    data: Data = ()

    def describe(self) -> str:
        """Say what is mounted where, with its options."""
        words = ",".join(key if value is None else f"{key}={value}" for key, value in self.data)
        return f"mount {self.kind} on {self.destination}" + (f" ({words})" if words else "")

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Make the file system, set the mount's attributes, attach it."""
        os.close(root.directory(self.destination))
        data = _one_by_one(self.data) if self.kind == "overlay" else self.data
        mount = self._create(calls, data)
        if mount is None:
            self._execute_classic(root, calls)
            return
        try:
            _change(calls, mount, self.top, self.below)
            place = self._place(root)
            try:
                _attach(calls, mount, place, self.destination)
            finally:
                os.close(place)
        finally:
            os.close(mount)

    def _create(self, calls: MountCalls, data: Data) -> int | None:
        """Make the file system detached; None where that takes the classic call."""
        if any(value is not None and len(os.fsencode(value)) > LONGEST_VALUE for _, value in data):
            return None
        try:
            return calls.filesystem(
                self.kind, (("source", self.source), *data) if self.source else data
            )
        except OSError as error:
            if error.errno == errno.EINVAL and data != self.data:
                return None  # before Linux 6.5
            raise

    def _execute_classic(self, root: Root, calls: MountCalls) -> None:
        words = ",".join(key if value is None else f"{key}={value}" for key, value in self.data)
        if len(os.fsencode(words)) > LONGEST_DATA:
            message = f"mount options of {len(words)} bytes: this kernel takes {LONGEST_DATA}"
            raise OSError(errno.E2BIG, message, self.destination)
        place = self._place(root)
        try:
            calls.mount(self.kind, self.source, place, words)
        finally:
            os.close(place)
        # the descriptor still means the directory below: the mount is found by its path
        mount = self._place(root)
        try:
            _change(calls, mount, self.top, self.below)
        finally:
            os.close(mount)

    def _place(self, root: Root) -> int:
        try:
            return root.open(
                self.destination,
                libc.O_PATH | os.O_DIRECTORY,
                links=self.kind not in PLAIN_TARGETS,
            )
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            message = f"{self.kind} must be mounted on a directory, and this is a link"
            raise OSError(errno.ELOOP, message, self.destination) from None


def _one_by_one(data: Data) -> Data:
    """Give overlay's lower directories one option each, which Linux takes since 6.5."""
    given: list[tuple[str, str | None]] = []
    for key, value in data:
        if key == "lowerdir" and value is not None and len(os.fsencode(value)) > LONGEST_VALUE:
            # a colon separates, unless a backslash is before it; single options need neither
            layers = re.split(r"(?<!\\):", value)
            given += [("lowerdir+", re.sub(r"\\(.)", r"\1", layer)) for layer in layers]
        else:
            given.append((key, value))
    return tuple(given)


def _change(calls: MountCalls, mount: int, top: Attributes, below: Attributes) -> None:
    if top:
        calls.change(mount, top, recursive=False)
    if below:
        calls.change(mount, below, recursive=True)


class CgroupTree(NamedTuple):
    """Show the container its own cgroups (version 1: a folder a hierarchy)."""

    destination: str
    hierarchies: tuple[tuple[str, str], ...]
    top: Attributes = Attributes()

    def describe(self) -> str:
        """Say which hierarchies are shown."""
        names = ", ".join(name for name, _ in self.hierarchies)
        return f"show the cgroups {names} on {self.destination}"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Mount a small tmpfs with a bind mount and, for joint hierarchies, links in it."""
        frame = Filesystem("tmpfs", "tmpfs", self.destination, data=(("mode", "755"),))
        frame.execute(root, calls)
        for name, directory in self.hierarchies:
            Bind(directory, os.path.join(self.destination, name), top=self.top).execute(root, calls)
            for alias in name.split(",") if "," in name else ():
                Link(os.path.join(self.destination, alias), name).execute(root, calls)
        Seal(self.destination, self.top).execute(root, calls)


class Mask(NamedTuple):
    """Hide a file behind /dev/null, or a folder behind an empty one; a missing path is no error."""

    path: str

    def describe(self) -> str:
        """Say what is hidden."""
        return f"hide {self.path}"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Attach the host's /dev/null or an empty read-only tmpfs."""
        try:
            place = root.open(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if stat.S_ISDIR(os.fstat(place).st_mode):
                mount = calls.filesystem("tmpfs", (("nr_inodes", "1"), ("mode", "755")))
                calls.change(mount, READ_ONLY, recursive=False)
            else:
                mount = calls.clone(os.devnull, recursive=False)
            try:
                calls.attach(mount, place, self.path)
            finally:
                os.close(mount)
        finally:
            os.close(place)


class ReadOnly(NamedTuple):
    """Make a path and all below it read-only; a missing path is no error."""

    path: str

    def describe(self) -> str:
        """Say what becomes read-only."""
        return f"make {self.path} read-only"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Lay a read-only copy of the path's mounts over it."""
        try:
            place = root.open(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            mount = calls.clone_at(place)
            try:
                calls.change(mount, READ_ONLY, recursive=True)
                calls.attach(mount, place, self.path)
            finally:
                os.close(mount)
        finally:
            os.close(place)


class Seal(NamedTuple):
    """Change the attributes of a mount that had to be written to first: the root, /dev."""

    path: str
    top: Attributes = READ_ONLY

    def describe(self) -> str:
        """Say what is sealed."""
        return f"seal {self.path}"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Change the mount that is on top at the path, and none below it."""
        if not self.top:
            return
        mount = root.open(self.path)
        try:
            calls.change(mount, self.top, recursive=False)
        finally:
            os.close(mount)
