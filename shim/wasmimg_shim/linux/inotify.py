"""inotify(7): being told when somebody writes to a file, or has closed it after that."""

from __future__ import annotations

import ctypes
import os

IN_MODIFY = 0x02
IN_CLOSE_WRITE = 0x08

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def watch_writers(path: str) -> int:
    """Return a descriptor that becomes readable once a writer of the file has closed it.

    The caller closes it. Raises OSError.
    """
    return _watch(path, IN_CLOSE_WRITE)


def watch_changes(path: str) -> int:
    """Return a descriptor that becomes readable once the file's content has changed.

    The caller closes it. Raises OSError.
    """
    return _watch(path, IN_MODIFY)


def _watch(path: str, events: int) -> int:
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise _error(path)
    if _libc.inotify_add_watch(fd, os.fsencode(path), events) < 0:
        error = _error(path)
        os.close(fd)
        raise error
    return int(fd)


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
