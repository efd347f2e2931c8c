"""Functions on one open descriptor: reading, writing, offsets, sizes, times, flags."""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import fdtable, filestat, rights
from wasmimg_shim.wasi.errno import (
    AGAIN,
    BADF,
    INVAL,
    NAMETOOLONG,
    NOTCAPABLE,
    NOTDIR,
    NOTSUP,
    SPIPE,
)
from wasmimg_shim.wasi.function import host
from wasmimg_shim.wasi.memory import Memory, Refused

if TYPE_CHECKING:
    from wasmimg_shim.wasi.fdtable import Descriptor, FdTable

__all__ = ["FDFLAG_APPEND", "FDFLAG_NONBLOCK", "Files", "host_flags"]

FDFLAG_APPEND, FDFLAG_DSYNC, FDFLAG_NONBLOCK, FDFLAG_RSYNC, FDFLAG_SYNC = 1, 2, 4, 8, 16
_FLAGS = (
    (FDFLAG_APPEND, os.O_APPEND),
    (FDFLAG_NONBLOCK, os.O_NONBLOCK),
    (FDFLAG_SYNC, os.O_SYNC),
    (FDFLAG_RSYNC, os.O_RSYNC),
    (FDFLAG_DSYNC, os.O_DSYNC),
)
_ADVICE = (
    os.POSIX_FADV_NORMAL,
    os.POSIX_FADV_SEQUENTIAL,
    os.POSIX_FADV_RANDOM,
    os.POSIX_FADV_WILLNEED,
    os.POSIX_FADV_DONTNEED,
    os.POSIX_FADV_NOREUSE,
)
_WHENCE = (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)
_PAIR = struct.Struct("<II").unpack_from
_COUNT = struct.Struct("<I").pack_into
_FDSTAT = struct.Struct("<BxH4xQQ")
_PRESTAT = struct.Struct("<B3xI")
_DIRENT = struct.Struct("<QQIB3x")
_SIGN = 1 << 63


def host_flags(flags: int) -> int:
    """open(2)'s flags for WASI's `fdflags`; Refused(INVAL) for unknown ones."""
    if flags >> 5:
        raise Refused(INVAL)
    return sum(linux for wasi, linux in _FLAGS if flags & wasi)


def signed(number: int) -> int:
    """An i64 as the engine hands it over, with its sign."""
    return number - (1 << 64) if number & _SIGN else number


class Files:
    """Functions whose names begin with `fd_`."""

    def __init__(self, memory: Memory, table: FdTable) -> None:
        self._memory = memory
        self._table = table
        self._open = table.open

    # The two functions below are called once or more a request: what they call is inlined.

    @host("fd_read", "iiii")
    def fd_read(self, fd: int, iovecs: int, count: int, result: int) -> None:
        try:
            descriptor = self._open[fd]
        except KeyError:
            raise Refused(BADF) from None
        if not descriptor.rights & rights.FD_READ:
            descriptor.demand(rights.FD_READ)
        memory = self._memory
        if result + 4 > memory.size:
            memory.check(result, 4)
        if count != 1 or iovecs + 8 > memory.size:
            size = os.readv(descriptor.host, memory.buffers(iovecs, count))
        else:
            address, length = _PAIR(memory.view, iovecs)
            end = address + length
            if end > memory.size:
                memory.check(address, length)
            transfer = descriptor.read_into or descriptor.reader()
            moved = transfer(memory.view[address:end])
            if moved is None:
                raise Refused(AGAIN)
            size = moved
        descriptor.owes = size > 0
        _COUNT(memory.view, result, size)

    @host("fd_write", "iiii")
    def fd_write(self, fd: int, iovecs: int, count: int, result: int) -> None:
        try:
            descriptor = self._open[fd]
        except KeyError:
            raise Refused(BADF) from None
        if not descriptor.rights & rights.FD_WRITE:
            descriptor.demand(rights.FD_WRITE)
        memory = self._memory
        if result + 4 > memory.size:
            memory.check(result, 4)
        if count != 1 or iovecs + 8 > memory.size:
            size = os.writev(descriptor.host, memory.buffers(iovecs, count))
        else:
            address, length = _PAIR(memory.view, iovecs)
            end = address + length
            if end > memory.size:
                memory.check(address, length)
            transfer = descriptor.write_from or descriptor.writer()
            moved = transfer(memory.view[address:end])
            if moved is None:
                raise Refused(AGAIN)
            size = moved
        descriptor.owes = False
        _COUNT(memory.view, result, size)

    @host("fd_pread", "iiiIi")
    def fd_pread(self, fd: int, iovecs: int, count: int, offset: int, result: int) -> None:
        descriptor = self._table.get(fd, rights.FD_READ | rights.FD_SEEK)
        self._memory.check(result, 4)
        buffers = self._memory.buffers(iovecs, count)
        self._memory.put_u32(result, os.preadv(descriptor.host, buffers, _offset(offset)))

    @host("fd_pwrite", "iiiIi")
    def fd_pwrite(self, fd: int, iovecs: int, count: int, offset: int, result: int) -> None:
        descriptor = self._table.get(fd, rights.FD_WRITE | rights.FD_SEEK)
        self._memory.check(result, 4)
        buffers = self._memory.buffers(iovecs, count)
        self._memory.put_u32(result, os.pwritev(descriptor.host, buffers, _offset(offset)))

    @host("fd_seek", "iIii")
    def fd_seek(self, fd: int, offset: int, whence: int, result: int) -> None:
        if whence >= len(_WHENCE):
            raise Refused(INVAL)
        moves = offset or whence != 1
        needed = rights.FD_SEEK | rights.FD_TELL if moves else rights.FD_TELL
        descriptor = self._seekable(fd, needed)
        self._memory.check(result, 8)
        self._memory.put_u64(result, os.lseek(descriptor.host, signed(offset), _WHENCE[whence]))

    @host("fd_tell", "ii")
    def fd_tell(self, fd: int, result: int) -> None:
        descriptor = self._seekable(fd, rights.FD_TELL)
        self._memory.put_u64(result, os.lseek(descriptor.host, 0, os.SEEK_CUR))

    @host("fd_advise", "iIIi")
    def fd_advise(self, fd: int, offset: int, length: int, advice: int) -> None:
        descriptor = self._table.get(fd, rights.FD_ADVISE)
        if advice >= len(_ADVICE):
            raise Refused(INVAL)
        if descriptor.kind != fdtable.DIRECTORY:
            os.posix_fadvise(descriptor.host, _offset(offset), _offset(length), _ADVICE[advice])

    @host("fd_allocate", "iII")
    def fd_allocate(self, fd: int, offset: int, length: int) -> None:
        descriptor = self._table.get(fd, rights.FD_ALLOCATE)
        os.posix_fallocate(descriptor.host, _offset(offset), _offset(length))

    @host("fd_datasync", "i")
    def fd_datasync(self, fd: int) -> None:
        os.fdatasync(self._table.get(fd, rights.FD_DATASYNC).host)

    @host("fd_sync", "i")
    def fd_sync(self, fd: int) -> None:
        os.fsync(self._table.get(fd, rights.FD_SYNC).host)

    @host("fd_close", "i")
    def fd_close(self, fd: int) -> None:
        self._table.close(fd)

    @host("fd_renumber", "ii")
    def fd_renumber(self, source: int, target: int) -> None:
        if any(self._table.get(fd).preopened for fd in (source, target)):
            raise Refused(NOTSUP)  # the C library's table of preopens would be wrong
        self._table.renumber(source, target)

    @host("fd_fdstat_get", "ii")
    def fd_fdstat_get(self, fd: int, result: int) -> None:
        found = self._table.get(fd)
        flags = 0
        if found.host >= 0:
            linux = fcntl.fcntl(found.host, fcntl.F_GETFL)
            flags = sum(wasi for wasi, flag in _FLAGS if linux & flag == flag)
        self._memory.write(result, _FDSTAT.pack(found.kind, flags, found.rights, found.inheriting))

    @host("fd_fdstat_set_flags", "ii")
    def fd_fdstat_set_flags(self, fd: int, flags: int) -> None:
        """Linux can change APPEND and NONBLOCK only; the others must be as they were."""
        host_fd = self._table.get(fd, rights.FD_FDSTAT_SET_FLAGS).host
        wanted = host_flags(flags)
        before = fcntl.fcntl(host_fd, fcntl.F_GETFL)
        changeable = os.O_APPEND | os.O_NONBLOCK
        if wanted & ~changeable & ~before:
            raise Refused(NOTSUP)
        after = before & ~changeable | wanted & changeable
        if after != before:
            fcntl.fcntl(host_fd, fcntl.F_SETFL, after)

    @host("fd_fdstat_set_rights", "iII")
    def fd_fdstat_set_rights(self, fd: int, base: int, inheriting: int) -> None:
        found = self._table.get(fd)
        if base & ~found.rights or inheriting & ~found.inheriting:
            raise Refused(NOTCAPABLE)
        found.rights, found.inheriting = base, inheriting
        self._table.on_change(found.host)

    @host("fd_filestat_get", "ii")
    def fd_filestat_get(self, fd: int, result: int) -> None:
        found = self._table.get(fd, rights.FD_FILESTAT_GET)
        status = os.fstat(found.host)
        self._memory.write(result, filestat.pack(status, found.kind))

    @host("fd_filestat_set_size", "iI")
    def fd_filestat_set_size(self, fd: int, size: int) -> None:
        os.ftruncate(self._table.get(fd, rights.FD_FILESTAT_SET_SIZE).host, _offset(size))

    @host("fd_filestat_set_times", "iIIi")
    def fd_filestat_set_times(self, fd: int, access: int, change: int, flags: int) -> None:
        found = self._table.get(fd, rights.FD_FILESTAT_SET_TIMES)
        filestat.set_times(found.host, access, change, flags)

    @host("fd_prestat_get", "ii")
    def fd_prestat_get(self, fd: int, result: int) -> None:
        self._memory.write(result, _PRESTAT.pack(0, len(self._preopen_name(fd))))

    @host("fd_prestat_dir_name", "iii")
    def fd_prestat_dir_name(self, fd: int, address: int, length: int) -> None:
        name = self._preopen_name(fd)
        if length < len(name):
            raise Refused(NAMETOOLONG)
        self._memory.write(address, name)

    @host("fd_readdir", "iiiIi")
    def fd_readdir(self, fd: int, buffer: int, length: int, cookie: int, result: int) -> None:
        """Entries from number `cookie` on; the last may be cut, which says that there are more.

        Cookie 0 reads the folder anew; others refer to what was read then, so that a listing is
        never torn by what happens meanwhile.
        """
        found = self._table.get(fd, rights.FD_READDIR)
        if found.kind != fdtable.DIRECTORY:
            raise Refused(NOTDIR)
        self._memory.check(result, 4)
        target = self._memory.window(buffer, length)
        if cookie == 0 or found.listing is None:
            found.listing = _list(found.host)
        used = 0
        for number, entry in enumerate(found.listing[cookie:], cookie + 1):
            record = _DIRENT.pack(number, entry.inode, len(entry.name), entry.kind) + entry.name
            part = record[: length - used]
            target[used : used + len(part)] = part
            used += len(part)
            if used == length:
                break
        self._memory.put_u32(result, used)

    def _preopen_name(self, fd: int) -> bytes:
        found = self._table.get(fd)
        if not found.preopened or found.guest_path is None:
            raise Refused(BADF)
        return os.fsencode(found.guest_path)

    def _seekable(self, fd: int, needed: int) -> Descriptor:
        found = self._table.get(fd)
        if found.kind in {fdtable.SOCKET_STREAM, fdtable.SOCKET_DGRAM, fdtable.UNKNOWN}:
            raise Refused(SPIPE)
        found.demand(needed)
        return found


def _offset(number: int) -> int:
    if number & _SIGN:
        raise Refused(INVAL)
    return number


def _list(host_fd: int) -> list[fdtable.Entry]:
    """The folder's entries, `.` and `..` first; above it nothing is told, so `..` is `.`."""
    own = os.fstat(host_fd).st_ino
    listing = [fdtable.Entry(name, own, fdtable.DIRECTORY) for name in (b".", b"..")]
    with os.scandir(host_fd) as entries:
        listing.extend(
            fdtable.Entry(os.fsencode(entry.name), entry.inode(), _kind(entry)) for entry in entries
        )
    return listing


def _kind(entry: os.DirEntry[str]) -> int:
    """The folder itself tells the three common kinds; the others cost a look at the file."""
    if entry.is_symlink():
        return fdtable.SYMBOLIC_LINK
    if entry.is_dir(follow_symlinks=False):
        return fdtable.DIRECTORY
    if entry.is_file(follow_symlinks=False):
        return fdtable.REGULAR_FILE
    try:
        return fdtable.file_type(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return fdtable.UNKNOWN
