"""Opening a path strictly below a folder, whatever links the image's author put there.

openat2(2) does it in the kernel. Where a seccomp profile or an old kernel denies that call, a walk
opens one component at a time and follows links itself; it never opens a path of two components.
Either way `..` above the folder, an absolute path or link, a magic link of /proc and a mount point
end in Refused(NOTCAPABLE): each mount has a preopen of its own, with its own rights.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

from wasmimg_shim.wasi.errno import ILSEQ, INVAL, NOENT, NOTCAPABLE
from wasmimg_shim.wasi.memory import Refused

__all__ = ["Beneath", "checked", "split"]

_SYS_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _BENEATH = 0x01, 0x02, 0x08
_OPEN_HOW = struct.Struct("<QQQ")
_DENIED = {errno.ENOSYS, errno.EPERM, errno.E2BIG}
_MOST_LINKS = 40
_RETRIES = 64
_AT_EMPTY_PATH, _STATX_MNT_ID, _MNT_ID_AT = 0x1000, 0x1000, 0x90
_libc = ctypes.CDLL(None, use_errno=True)


def checked(path: bytes) -> bytes:
    """The path if WASI allows its form: relative, UTF-8, without NUL, not empty."""
    if not path:
        raise Refused(NOENT)
    if b"\0" in path:
        raise Refused(INVAL)
    try:
        path.decode()
    except UnicodeDecodeError:
        raise Refused(ILSEQ) from None
    if path.startswith(b"/"):
        raise Refused(NOTCAPABLE)
    return path


def split(path: bytes) -> tuple[bytes, bytes]:
    """Parent folder and last component, which keeps its trailing slashes."""
    bare = path.rstrip(b"/")
    parent, _, name = bare.rpartition(b"/")
    return parent or b".", name + path[len(bare) :]


class Beneath:
    """Opens paths; remembers whether the kernel offers openat2."""

    def __init__(self, *, kernel: bool = True) -> None:
        self._kernel = kernel

    def open(self, folder: int, path: bytes, flags: int, mode: int = 0) -> int:
        """Open a checked path below `folder`, close-on-exec; OSError or Refused."""
        flags |= os.O_CLOEXEC
        if self._kernel:
            try:
                return _openat2(folder, path, flags, mode)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise Refused(NOTCAPABLE) from None
                if error.errno not in _DENIED or not self._denied():
                    raise
                self._kernel = False
        return _walk(folder, path, flags, mode)

    def parent(self, folder: int, path: bytes) -> tuple[int, bytes]:
        """The opened (O_PATH) parent of a checked path, and the last component."""
        above, name = split(path)
        return self.open(folder, above, os.O_PATH | os.O_DIRECTORY), name

    @staticmethod
    def _denied() -> bool:
        """Whether openat2 fails even on what any process may open: EPERM may be the file's."""
        try:
            os.close(_openat2(-100, b".", os.O_PATH | os.O_CLOEXEC, 0))
        except OSError as error:
            return error.errno in _DENIED
        return False


def _openat2(folder: int, path: bytes, flags: int, mode: int) -> int:
    how = _OPEN_HOW.pack(flags, mode, _BENEATH | _NO_MAGICLINKS | _NO_XDEV)
    for _ in range(_RETRIES):
        fd: int = _libc.syscall(_SYS_OPENAT2, folder, path, how, len(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number != errno.EAGAIN:  # a rename somewhere raced with `..`: openat2(2)
            raise OSError(number, os.strerror(number))
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class _Walk:
    """The folders entered so far, below a borrowed first one, all on its mount."""

    def __init__(self, folder: int) -> None:
        self._first = folder
        self._mount = _mount_of(folder)
        self._entered: list[int] = []
        self._links = 0

    @property
    def here(self) -> int:
        return self._entered[-1] if self._entered else self._first

    def up(self) -> None:
        if not self._entered:
            raise Refused(NOTCAPABLE)
        os.close(self._entered.pop())

    def look(self, name: bytes) -> tuple[int, list[bytes] | None]:
        """Name one component, by an O_PATH descriptor; a link also as the components it means."""
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.here)
        try:
            self._demand_same_mount(fd)
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                return fd, None
            return fd, self._follow(os.readlink(b"", dir_fd=fd))
        except BaseException:
            os.close(fd)
            raise

    def enter(self, name: bytes) -> list[bytes]:
        """Go into a folder; what is returned, if it is a link, is to be walked first."""
        fd, link = self.look(name)
        if link is not None:
            os.close(fd)
            return link
        self._entered.append(fd)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return []

    def last(self, name: bytes, flags: int, mode: int) -> int | list[bytes]:
        """Open the last component, or return the components of the link that it is."""
        try:
            fd, link = self.look(name)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        else:
            os.close(fd)
            if link is not None and not flags & os.O_NOFOLLOW and not flags & os.O_EXCL:
                return link
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=self.here)

    def close(self) -> None:
        for fd in self._entered:
            os.close(fd)

    def _demand_same_mount(self, fd: int) -> None:
        if _mount_of(fd) != self._mount:
            raise Refused(NOTCAPABLE)

    def _follow(self, target: bytes) -> list[bytes]:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith(b"/"):
            raise Refused(NOTCAPABLE)
        return _components(target)


def _walk(folder: int, path: bytes, flags: int, mode: int) -> int:
    walk = _Walk(folder)
    pending = _components(path)
    try:
        while True:
            name, *pending = pending
            match name:
                case b"..":
                    walk.up()
                    pending = pending or [b"."]
                case b"." if pending:
                    pass
                case _ if pending:
                    pending = walk.enter(name) + pending
                case _:
                    found = walk.last(name, flags, mode)
                    if isinstance(found, int):
                        return found
                    pending = found
    finally:
        walk.close()


def _components(path: bytes) -> list[bytes]:
    """The names of a path; a trailing slash asks for a folder, as a last `.` does."""
    names = [name for name in path.split(b"/") if name]
    return [*names, b"."] if path.endswith(b"/") or not names else names


def _mount_of(fd: int) -> int:
    """The id of the mount that an open file is on (statx(2)): bind mounts share a device."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statx(fd, b"", _AT_EMPTY_PATH, _STATX_MNT_ID, buffer) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int.from_bytes(buffer.raw[_MNT_ID_AT : _MNT_ID_AT + 8], "little")
