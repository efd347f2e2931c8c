"""WASI's `filestat` record and the setting of its times."""

from __future__ import annotations

import ctypes
import os
import struct

from wasmimg_shim.wasi.errno import INVAL
from wasmimg_shim.wasi.fdtable import file_type
from wasmimg_shim.wasi.memory import Refused

__all__ = ["pack", "record", "set_times"]

_FILESTAT = struct.Struct("<QQB7xQQQQQ")
_ATIM, _ATIM_NOW, _MTIM, _MTIM_NOW = 1, 2, 4, 8
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_AT_EMPTY_PATH = 0x1000
_NS = 1_000_000_000
#: two `struct timespec` of a 64-bit machine
_TIMESPECS = struct.Struct("=qqqq")
_libc = ctypes.CDLL(None, use_errno=True)


def pack(status: os.stat_result, kind: int | None = None) -> bytes:
    """The 64 bytes of a `filestat`; `kind` where the descriptor knows better than the mode."""
    times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    kind = file_type(status.st_mode) if kind is None else kind
    return record(status.st_dev, status.st_ino, kind, status.st_nlink, status.st_size, times)


def record(
    device: int, inode: int, kind: int, links: int, size: int, times: tuple[int, int, int]
) -> bytes:
    """The record of these fields; a time before 1970 has no form and becomes 0."""
    return _FILESTAT.pack(device, inode, kind, links, size, *(max(0, ns) for ns in times))


def set_times(host_fd: int, access: int, modification: int, flags: int) -> None:
    """Set the times (ns since 1970) that the `fstflags` ask for, of a file or an O_PATH of one."""
    if flags >> 4 or flags & 3 == 3 or flags & 12 == 12:  # noqa: PLR2004 -- both a time and now
        raise Refused(INVAL)
    times = _TIMESPECS.pack(
        *_time(access, flags & _ATIM, flags & _ATIM_NOW),
        *_time(modification, flags & _MTIM, flags & _MTIM_NOW),
    )
    # An O_PATH descriptor can't be given to futimens(3), and /proc may not be there.
    if _libc.utimensat(host_fd, b"", times, _AT_EMPTY_PATH) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _time(ns: int, given: int, now: int) -> tuple[int, int]:
    if now:
        return 0, _UTIME_NOW
    return divmod(ns, _NS) if given else (0, _UTIME_OMIT)
