"""The files of a machine, or of a folder that will be the root of one.

Paths are those that the machine itself uses; links are followed inside the root. Files appear whole
or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from typing import Final

from wasmimg_images.errors import HostError

#: path_resolution(7): MAXSYMLINKS
_LINKS_MAX: Final = 40


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


class Root:
    """A folder whose files are read and replaced by their paths inside it."""

    def __init__(self, path: str = "/") -> None:
        self.path = os.path.abspath(path)

    def outside(self, path: str) -> str:
        """Return the path of a file for this process, all links followed inside the root."""
        parts = path.split("/")[::-1]
        done: list[str] = []
        links = 0
        while parts:
            name = parts.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                del done[-1:]
                continue
            target = self._link("/".join([*done, name]))
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _LINKS_MAX:
                raise HostError(f"{path}: {os.strerror(errno.ELOOP)}")
            if target.startswith("/"):
                done.clear()
            parts += target.split("/")[::-1]
        return os.path.join(self.path, "/".join(done)) if done else self.path

    def _link(self, inside: str) -> str | None:
        try:
            return os.readlink(os.path.join(self.path, inside))
        except OSError:
            return None

    def inside(self, path: str) -> str:
        """Return a path of this process as the machine will have it."""
        if self.path == "/" or not f"{path}/".startswith(f"{self.path}/"):
            return path
        return path[len(self.path) :] or "/"

    def read(self, path: str) -> bytes | None:
        """Read a file, None if there is none; HostError for what is no regular file."""
        real = self.outside(path)
        try:
            fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise HostError(f"{path} is no regular file", hint="move it out of the way")
        with os.fdopen(fd, "rb") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at a path."""
        return os.path.lexists(self.outside(path))

    def write(self, path: str, content: bytes, mode: int) -> None:
        """Put a file in place in one step; one that is there hands on its owner, if we may."""
        real = self.outside(path)
        temporary = _fresh(real)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    before = os.stat(real)
                    os.fchown(fd, before.st_uid, before.st_gid)
                os.fchmod(fd, mode)
                file.flush()
                os.fsync(fd)
            os.replace(temporary, real)
        except BaseException:
            os.unlink(temporary)
            raise
        _sync_folder(real)

    def mode(self, path: str, default: int) -> int:
        """Return the permissions of a file, or the default if there is none."""
        try:
            return stat.S_IMODE(os.stat(self.outside(path)).st_mode)
        except FileNotFoundError:
            return default

    def back_up(self, path: str, backup: str) -> None:
        """Copy a file with its owner, rights and times; an old backup is replaced.

        Not a second name of it: who edits the file in place would edit the backup.
        """
        real, kept = self.outside(path), self.outside(backup)
        temporary = _fresh(kept)
        shutil.copy2(real, temporary)
        owner = os.stat(real)
        fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchown(fd, owner.st_uid, owner.st_gid)
            os.fchmod(fd, stat.S_IMODE(owner.st_mode))  # a change of owner may clear bits
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, kept)
        _sync_folder(kept)

    def rename(self, path: str, target: str) -> None:
        """Move a file onto another one."""
        real = self.outside(target)
        os.replace(self.outside(path), real)
        _sync_folder(real)

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        real = self.outside(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(real)
            _sync_folder(real)

    def sweep(self, path: str) -> None:
        """Remove what a killed write or back_up of this path has left."""
        with contextlib.suppress(NotADirectoryError):
            _fresh(self.outside(path))

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it, unless they are there."""
        os.makedirs(self.outside(path), mode=0o755, exist_ok=True)

    def remove_folder(self, path: str) -> None:
        """Remove a folder if it is empty."""
        try:
            os.rmdir(self.outside(path))
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.EBUSY}:
                raise

    def missing_folders(self, path: str) -> list[str]:
        """List the folders above a file that are not there, the outermost first."""
        missing: list[str] = []
        folder = os.path.dirname(path)
        while folder not in {"", "/"} and not os.path.isdir(self.outside(folder)):
            missing.append(folder)
            folder = os.path.dirname(folder)
        return missing[::-1]


def _fresh(real: str) -> str:
    """Return the name that a file is made under: always the same one, so that none is left."""
    temporary = f"{real}.wasmimg-new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    return temporary


def _sync_folder(real: str) -> None:
    fd = os.open(os.path.dirname(real), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
