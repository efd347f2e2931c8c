"""A container's root directory, held by descriptor; no path given to it ever leaves it.

Every look-up is openat2(RESOLVE_IN_ROOT): a link to `/etc` of a hostile image means the image's own
`/etc`, `..` stops at the root, and magic links of procfs are refused. What is made on the way
(directories, empty files for mounts) is made relative to descriptors found like that.
"""

from __future__ import annotations

import errno
import os

from wasmimg_shim.linux import libc

#: as many links in a row as the kernel follows (path_resolution(7))
MOST_LINKS = 40


class Root:
    """The directory `fd`; the caller keeps owning the descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def open(self, path: str, flags: int = libc.O_PATH, *, links: bool = True) -> int:
        """Open what is at a path of the container; `links=False` refuses links in it (ELOOP)."""
        resolve = libc.RESOLVE_IN_ROOT | (0 if links else libc.RESOLVE_NO_SYMLINKS)
        return libc.openat2(self.fd, path, flags, resolve)

    def directory(self, path: str, mode: int = 0o755) -> int:
        """Open a directory, making it and its parents where they are missing."""
        return self._directory(path, mode, MOST_LINKS)

    def _directory(self, path: str, mode: int, links_left: int) -> int:
        try:
            return self.open(path, libc.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            pass
        head, name = os.path.split(path.rstrip("/"))
        parent = self._directory(head or "/", mode, links_left)
        try:
            try:
                # the dots of a link's target are there as soon as what is before them is
                if name not in {".", ".."}:
                    os.mkdir(name, mode, dir_fd=parent)
            except FileExistsError:
                # A link to something missing, such as /var/run -> /run: make what it means.
                target = self._dangling(parent, name, path, links_left)
                return self._directory(os.path.join(head, target), mode, links_left - 1)
        finally:
            os.close(parent)
        return self.open(path, libc.O_PATH | os.O_DIRECTORY)

    def file(self, path: str) -> int:
        """Open a file as a mount's target, making it empty where it is missing."""
        return self._file(path, MOST_LINKS)

    def _file(self, path: str, links_left: int) -> int:
        try:
            return self.open(path)
        except FileNotFoundError:
            pass
        head, name = os.path.split(path)
        parent = self._directory(head or "/", 0o755, links_left)
        try:
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o644, dir_fd=parent))
            except FileExistsError:
                target = self._dangling(parent, name, path, links_left)
                return self._file(os.path.join(head, target), links_left - 1)
        finally:
            os.close(parent)
        return self.open(path)

    @staticmethod
    def _dangling(parent: int, name: str, path: str, links_left: int) -> str:
        if not links_left:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.readlink(name, dir_fd=parent)

    def entry(self, path: str) -> tuple[int, str]:
        """Open the directory that a path's last part is to be made in; returns it and that part."""
        head, name = os.path.split(path)
        return self.directory(head or "/"), name
