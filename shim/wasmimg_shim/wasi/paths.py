"""Functions on a path below an open folder.

A call on the last component itself (create, rename, unlink) opens the parent folder beneath the
descriptor's and gives the kernel one name, which it does not follow.
"""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import fdtable, filestat, rights
from wasmimg_shim.wasi.beneath import Beneath, checked
from wasmimg_shim.wasi.errno import INVAL, NOTCAPABLE, NOTDIR, ROFS
from wasmimg_shim.wasi.fdtable import Descriptor, FdTable, file_type
from wasmimg_shim.wasi.files import host_flags
from wasmimg_shim.wasi.function import host
from wasmimg_shim.wasi.memory import Memory, Refused

if TYPE_CHECKING:
    from collections.abc import Generator

    from wasmimg_shim.wasi.filemounts import FileMounts
    from wasmimg_shim.wasi.signalfile import SignalFile

__all__ = ["Paths"]

_CREAT, _DIRECTORY, _EXCL, _TRUNC = 1, 2, 4, 8
_FOLLOW = 1
_OFLAGS = (
    (_CREAT, os.O_CREAT),
    (_DIRECTORY, os.O_DIRECTORY),
    (_EXCL, os.O_EXCL),
    (_TRUNC, os.O_TRUNC),
)


class Paths:
    """Functions whose names begin with `path_`."""

    def __init__(
        self,
        memory: Memory,
        table: FdTable,
        beneath: Beneath,
        signals: SignalFile,
        mounts: FileMounts,
    ) -> None:
        self._memory = memory
        self._table = table
        self._beneath = beneath
        self._signals = signals
        self._mounts = mounts

    @host("path_open", "iiiiiIIii")
    def path_open(
        self,
        fd: int,
        lookup: int,
        path: int,
        length: int,
        oflags: int,
        base: int,
        inheriting: int,
        fdflags: int,
        result: int,
    ) -> None:
        """Rights beyond those the folder passes on are dropped, not refused.

        (Rust's standard library asks for all that a file might need.) But to ask to write where
        nothing may be written is an error now rather than at the first write.
        """
        folder = self._folder(fd, rights.PATH_OPEN | _needed_to_open(oflags))
        self._memory.check(result, 4)
        name = self._path(path, length)
        if base & ~folder.inheriting & rights.FD_WRITE and not oflags & _DIRECTORY:
            raise Refused(ROFS if folder.read_only else NOTCAPABLE)
        base &= folder.inheriting
        if self._signals.is_at(folder.guest_path, name):
            opened = self._signals.open(base)
        else:
            flags = _linux_flags(lookup, oflags, base) | host_flags(fdflags)
            opened = self._open(folder, name, flags, base, inheriting & folder.inheriting)
        self._memory.put_u32(result, self._table.add(opened))

    def _open(
        self, folder: Descriptor, name: bytes, flags: int, base: int, inheriting: int
    ) -> Descriptor:
        mounted = self._mounts.at(folder.guest_path, name)
        if mounted is not None:
            return self._mounts.open(mounted, flags, base)
        host_fd = self._beneath.open(folder.host, name, flags, 0o666 if flags & os.O_CREAT else 0)
        kind = file_type(os.fstat(host_fd).st_mode)
        possible = rights.DIRECTORY if kind == fdtable.DIRECTORY else rights.FILE
        opened = Descriptor(host_fd, kind, base & possible, inheriting)
        opened.read_only = folder.read_only
        if kind == fdtable.DIRECTORY:
            opened.guest_path = self._signals.join(folder.guest_path, name)
        return opened

    @host("path_create_directory", "iii")
    def path_create_directory(self, fd: int, path: int, length: int) -> None:
        with self._parent(fd, rights.PATH_CREATE_DIRECTORY, path, length) as (parent, name):
            os.mkdir(name, 0o777, dir_fd=parent)

    @host("path_remove_directory", "iii")
    def path_remove_directory(self, fd: int, path: int, length: int) -> None:
        with self._parent(fd, rights.PATH_REMOVE_DIRECTORY, path, length) as (parent, name):
            os.rmdir(name, dir_fd=parent)

    @host("path_unlink_file", "iii")
    def path_unlink_file(self, fd: int, path: int, length: int) -> None:
        with self._parent(fd, rights.PATH_UNLINK_FILE, path, length) as (parent, name):
            os.unlink(name, dir_fd=parent)

    @host("path_symlink", "iiiii")
    def path_symlink(
        self, target: int, target_length: int, fd: int, path: int, length: int
    ) -> None:
        pointed = checked(self._memory.read(target, target_length))  # an absolute link is refused
        with self._parent(fd, rights.PATH_SYMLINK, path, length) as (parent, name):
            os.symlink(pointed, name, dir_fd=parent)

    @host("path_readlink", "iiiiii")
    def path_readlink(
        self, fd: int, path: int, length: int, buffer: int, size: int, result: int
    ) -> None:
        folder = self._folder(fd, rights.PATH_READLINK)
        self._memory.check(result, 4)
        target = self._memory.window(buffer, size)
        with self._opened(folder, path, length, os.O_PATH | os.O_NOFOLLOW) as found:
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                raise Refused(INVAL)
            pointed = os.readlink(b"", dir_fd=found)[:size]
        target[: len(pointed)] = pointed
        self._memory.put_u32(result, len(pointed))

    @host("path_rename", "iiiiii")
    def path_rename(
        self, fd: int, old: int, old_length: int, new_fd: int, new: int, new_length: int
    ) -> None:
        with (
            self._parent(fd, rights.PATH_RENAME_SOURCE, old, old_length) as (source, name),
            self._parent(new_fd, rights.PATH_RENAME_TARGET, new, new_length) as (target, renamed),
        ):
            os.rename(name, renamed, src_dir_fd=source, dst_dir_fd=target)

    @host("path_link", "iiiiiii")
    def path_link(
        self,
        fd: int,
        lookup: int,
        old: int,
        old_length: int,
        new_fd: int,
        new: int,
        new_length: int,
    ) -> None:
        """Link a file, never through a link: a name with a trailing slash is no file's."""
        if lookup:
            raise Refused(INVAL)
        with (
            self._parent(fd, rights.PATH_LINK_SOURCE, old, old_length) as (source, name),
            self._parent(new_fd, rights.PATH_LINK_TARGET, new, new_length) as (target, linked),
        ):
            if name.endswith(b"/"):
                raise Refused(NOTDIR)
            os.link(name, linked, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    @host("path_filestat_get", "iiiii")
    def path_filestat_get(self, fd: int, lookup: int, path: int, length: int, result: int) -> None:
        folder = self._folder(fd, rights.PATH_FILESTAT_GET)
        self._memory.check(result, 64)
        if self._signals.is_at(folder.guest_path, self._path(path, length)):
            self._memory.write(result, self._signals.filestat())
            return
        mounted = self._mounts.at(folder.guest_path, self._path(path, length))
        if mounted is not None:
            self._memory.write(result, filestat.pack(self._mounts.stat(mounted)))
            return
        flags = os.O_PATH | (0 if lookup & _FOLLOW else os.O_NOFOLLOW)
        with self._opened(folder, path, length, flags) as found:
            self._memory.write(result, filestat.pack(os.fstat(found)))

    @host("path_filestat_set_times", "iiiiIIi")
    def path_filestat_set_times(
        self,
        fd: int,
        lookup: int,
        path: int,
        length: int,
        access: int,
        modification: int,
        flags: int,
    ) -> None:
        folder = self._folder(fd, rights.PATH_FILESTAT_SET_TIMES)
        how = os.O_PATH | (0 if lookup & _FOLLOW else os.O_NOFOLLOW)
        with self._opened(folder, path, length, how) as found:
            filestat.set_times(found, access, modification, flags)

    def _folder(self, fd: int, needed: int) -> Descriptor:
        folder = self._table.get(fd)
        if folder.kind != fdtable.DIRECTORY:
            raise Refused(NOTDIR)
        folder.demand(needed)
        return folder

    def _path(self, address: int, length: int) -> bytes:
        return checked(self._memory.read(address, length))

    @contextmanager
    def _parent(self, fd: int, needed: int, path: int, length: int) -> Generator[tuple[int, bytes]]:
        folder = self._folder(fd, needed)
        name = self._path(path, length)
        if self._signals.is_at(folder.guest_path, name):
            raise Refused(ROFS)
        parent, name = self._beneath.parent(folder.host, name)
        try:
            yield parent, name
        finally:
            os.close(parent)

    @contextmanager
    def _opened(self, folder: Descriptor, path: int, length: int, flags: int) -> Generator[int]:
        found = self._beneath.open(folder.host, self._path(path, length), flags)
        try:
            yield found
        finally:
            os.close(found)


def _needed_to_open(oflags: int) -> int:
    needed = 0
    if oflags & _CREAT:
        needed |= rights.PATH_CREATE_FILE
    if oflags & _TRUNC:
        needed |= rights.PATH_FILESTAT_SET_SIZE
    return needed


def _linux_flags(lookup: int, oflags: int, base: int) -> int:
    if oflags >> 4 or lookup >> 1:
        raise Refused(INVAL)
    if oflags & _DIRECTORY and oflags & (_CREAT | _EXCL | _TRUNC):
        raise Refused(INVAL)
    flags = sum(linux for wasi, linux in _OFLAGS if oflags & wasi)
    if not lookup & _FOLLOW:
        flags |= os.O_NOFOLLOW
    # never a controlling terminal
    flags |= os.O_NOCTTY
    if oflags & _DIRECTORY:
        return flags | os.O_RDONLY
    writes = base & (rights.FD_WRITE | rights.FD_ALLOCATE | rights.FD_FILESTAT_SET_SIZE)
    if writes:
        return flags | (os.O_RDWR if base & rights.FD_READ else os.O_WRONLY)
    return flags | os.O_RDONLY
