"""Single files that are mounted into the container: WASI preopens folders only.

A path that leads to such a file is opened at the mount, with the mount's rights; by the folder that
it lies in it could not be, for no path crosses a mount point (beneath.py).
"""

from __future__ import annotations

import os

from wasmimg_shim.wasi import rights
from wasmimg_shim.wasi.errno import EXIST, NOTCAPABLE, NOTDIR, ROFS
from wasmimg_shim.wasi.fdtable import Descriptor, file_type
from wasmimg_shim.wasi.memory import Refused
from wasmimg_shim.wasi.signalfile import SignalFile

__all__ = ["FileMounts"]


class FileMounts:
    """The mounted files by the guest's names for them."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, str, bool]] = {}

    def add(self, guest_path: str, path: str, *, writable: bool) -> None:
        """Remember a file, and keep it open so that no other can take its place; OSError."""
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self._files[guest_path] = (handle, path, writable)

    def at(self, folder: str | None, name: bytes) -> str | None:
        """Say whether this path is a mounted file's: its name."""
        if not self._files:
            return None
        joined = SignalFile.join(folder, name)
        return joined if joined in self._files and not name.endswith(b"/") else None

    def open(self, guest_path: str, flags: int, base: int) -> Descriptor:
        """Open a mounted file; Refused(ROFS) to write where the mount is read-only."""
        handle, path, writable = self._files[guest_path]
        if flags & os.O_DIRECTORY:
            raise Refused(NOTDIR)
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise Refused(EXIST)
        if not writable and flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            raise Refused(ROFS)
        host_fd = os.open(path, (flags & ~os.O_CREAT) | os.O_CLOEXEC)
        if not os.path.samestat(os.fstat(host_fd), os.fstat(handle)):
            os.close(host_fd)
            raise Refused(NOTCAPABLE)
        allowed = rights.FILE if writable else rights.FILE & ~rights.CHANGING
        opened = Descriptor(host_fd, file_type(os.fstat(host_fd).st_mode), base & allowed)
        opened.read_only = not writable
        return opened

    def stat(self, guest_path: str) -> os.stat_result:
        """Look at a mounted file."""
        return os.fstat(self._files[guest_path][0])
