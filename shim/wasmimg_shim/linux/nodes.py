"""What a container's root gets besides mounts, as operation values: folders, links, device nodes."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.linux.mounts import MountCalls
    from wasmimg_shim.linux.root import Root


class Directory(NamedTuple):
    """Make sure that a folder exists, such as the working directory."""

    path: str

    def describe(self) -> str:
        """Say which folder."""
        return f"make folder {self.path} unless it is there"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Make it inside the root."""
        del calls
        os.close(root.directory(self.path))


class Link(NamedTuple):
    """Make a symbolic link, such as /dev/fd; what is there already stays."""

    path: str
    target: str

    def describe(self) -> str:
        """Say what links to what."""
        return f"link {self.path} to {self.target}"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Make the link inside the root."""
        del calls
        directory, name = root.entry(self.path)
        try:
            os.symlink(self.target, name, dir_fd=directory)
        except FileExistsError:
            pass
        finally:
            os.close(directory)


class Node(NamedTuple):
    """Make a device node; one that is there already must be the same device."""

    path: str
    mode: int
    device: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        """Say which device."""
        kind = "block" if stat.S_ISBLK(self.mode) else "character"
        if stat.S_ISFIFO(self.mode):
            return f"make FIFO {self.path}"
        return f"make {kind} device {self.path} {os.major(self.device)}:{os.minor(self.device)}"

    def execute(self, root: Root, calls: MountCalls) -> None:
        """Make the node with its mode and owner."""
        directory, name = root.entry(self.path)
        try:
            try:
                calls.make_node(directory, name, self.mode, self.device)
            except FileExistsError:
                there = os.stat(name, dir_fd=directory, follow_symlinks=False)
                same = stat.S_IFMT(there.st_mode) == stat.S_IFMT(self.mode)
                if not same or there.st_rdev != self.device:
                    message = "the image has something else in the place of a device"
                    raise FileExistsError(errno.EEXIST, message, self.path) from None
                return
            if self.uid or self.gid:
                os.chown(name, self.uid, self.gid, dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(directory)
