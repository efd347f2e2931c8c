"""The few system calls that the standard library lacks: mounts and namespaces.

Each function encodes, calls, and raises OSError with the path. Constants are the kernel's, from
linux/mount.h and linux/sched.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import TYPE_CHECKING, Final

from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

CLONE_NEWNET: Final = 0x40000000
MS_BIND: Final = 0x1000
MS_NODEV: Final = 0x4
MS_PRIVATE: Final = 0x40000
MNT_DETACH: Final = 0x2
UMOUNT_NOFOLLOW: Final = 0x8

libc: Final = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
libc.unshare.argtypes = (ctypes.c_int,)

#: openat2(2) has no wrapper in the C library; the number is the same on every architecture.
NR_OPENAT2: Final = 437
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_IN_ROOT: Final = 0x10


class OpenHow(ctypes.Structure):
    """struct open_how."""

    _fields_ = [  # type: ignore[mutable-override]  # ctypes reads a plain list once
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


def _check(result: int, path: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system (mount(2))."""
    _check(
        libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, data.encode()),
        str(target),
    )


def open_below(root: Path, path: str, flags: int) -> int:
    """Open a path of a container as the container would see it: no link leads out of `root`."""
    how = OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        handle: int = libc.syscall(
            NR_OPENAT2,
            at,
            os.fsencode(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        _check(handle, path)
        return handle
    finally:
        os.close(at)


def unmount(target: Path) -> bool:
    """Detach the topmost mount at a path; False if nothing is mounted there, or no such path."""
    if libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW) == 0:
        return True
    error = ctypes.get_errno()
    if error in {errno.EINVAL, errno.ENOENT}:
        return False
    raise OSError(error, os.strerror(error), str(target))


@contextlib.contextmanager
def own_network() -> Generator[None]:
    """Go back to the calling thread's network namespace at the end of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _check(libc.setns(home, CLONE_NEWNET), "/proc/thread-self/ns/net")
        os.close(home)


@contextlib.contextmanager
def in_network(namespace: Path | None) -> Generator[None]:
    """Run the block inside a network namespace; only the calling thread moves (setns(2)).

    Sockets made there stay there, programs started there run there. None stays at home.
    """
    if namespace is None:
        yield
        return
    with own_network():
        handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(libc.setns(handle, CLONE_NEWNET), str(namespace))
        finally:
            os.close(handle)
        yield


def make_network_namespace(path: Path) -> None:
    """Make a network namespace that lives as long as the mount at `path` does."""
    make_private(path.parent)
    path.touch(mode=0o600)
    with own_network():
        _check(libc.unshare(CLONE_NEWNET), "network namespace")
        mount("/proc/thread-self/ns/net", path, "none", MS_BIND)


def drop_network_namespace(path: Path) -> None:
    """Let go of a namespace; what is still open in it keeps it. Nothing happens if it is gone."""
    while unmount(path):
        pass
    path.unlink(missing_ok=True)
