"""System calls by ctypes, one typed function each; only encoding, calling and raising.

Python 3.11 has none of these. A failure is an OSError with the path concerned. The mount interface
used is that of file descriptors (Linux 5.12, for mount_setattr), so that no path is looked up twice.
Constants are those of linux/mount.h, linux/openat2.h, linux/prctl.h, linux/sched.h, linux/seccomp.h
and linux/fcntl.h; numbers above 423 are the same on every architecture.
"""

# ruff: noqa: D402 - the manual's name of a call, mount(2), looks like a signature
from __future__ import annotations

import contextlib
import ctypes
import errno
import os

AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
BPF_PROG_ATTACH = 8
BPF_PROG_LOAD = 5
BPF_PROG_TYPE_CGROUP_DEVICE = 15
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWUTS = 0x04000000
FSCONFIG_CMD_CREATE = 6
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSMOUNT_CLOEXEC = 1
FSOPEN_CLOEXEC = 1
MNT_DETACH = 2
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_RELATIME = 0x00
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MS_PRIVATE = 1 << 18
MS_REC = 1 << 14
MS_SHARED = 1 << 20
MS_SLAVE = 1 << 19
MS_UNBINDABLE = 1 << 17
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
OPEN_TREE_CLONE = 1
O_PATH = 0o10000000
PROC_SUPER_MAGIC = 0x9FA0
CGROUP2_SUPER_MAGIC = 0x63677270
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_CAP_AMBIENT_RAISE = 2
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
RESOLVE_IN_ROOT = 0x10
RESOLVE_NO_SYMLINKS = 0x04
SECCOMP_SET_MODE_FILTER = 1

NR_OPEN_TREE = 428
NR_MOVE_MOUNT = 429
NR_FSOPEN = 430
NR_FSCONFIG = 431
NR_FSMOUNT = 432
NR_CLOSE_RANGE = 436
NR_OPENAT2 = 437
NR_MOUNT_SETATTR = 442
_MACHINE = os.uname().machine
#: x86-64 numbers its calls its own way, everybody since follows asm-generic/unistd.h
NR_SECCOMP = 317 if _MACHINE == "x86_64" else 277
NR_BPF = 321 if _MACHINE == "x86_64" else 280
NR_KEYCTL = 250 if _MACHINE == "x86_64" else 219
KEYCTL_JOIN_SESSION_KEYRING = 1


class open_how(ctypes.Structure):  # noqa: N801 - the C name
    """linux/openat2.h."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class mount_attr(ctypes.Structure):  # noqa: N801 - the C name
    """linux/mount.h."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class sock_fprog(ctypes.Structure):  # noqa: N801 - the C name
    """linux/filter.h; `filter` points at `len` instructions of eight bytes."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("len", ctypes.c_ushort),
        ("filter", ctypes.c_char_p),
    )


class bpf_load_attr(ctypes.Structure):  # noqa: N801 - the C name
    """linux/bpf.h, union bpf_attr as BPF_PROG_LOAD reads it; the log is not asked for."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_char_p),
        ("license", ctypes.c_char_p),
    )


class bpf_attach_attr(ctypes.Structure):  # noqa: N801 - the C name
    """linux/bpf.h, union bpf_attr as BPF_PROG_ATTACH reads it."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
    )


class cap_user_header_t(ctypes.Structure):  # noqa: N801 - the C name
    """linux/capability.h."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("version", ctypes.c_uint32),
        ("pid", ctypes.c_int),
    )


class cap_user_data_t(ctypes.Structure):  # noqa: N801 - the C name
    """linux/capability.h: one half of the three sets of 64 bits."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


LINUX_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.pivot_root.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)

# glibc opens libgcc_s on a thread's first cancellation or exit. In a container that would be the
# image's file: it must be there before.
with contextlib.suppress(OSError):
    ctypes.CDLL("libgcc_s.so.1")


def _check(result: int, call: str, path: str | None = None) -> int:
    """Turn a failed call into an OSError that names the call and what it was about."""
    if result >= 0:
        return result
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        raise OSError(number, f"{call}: needs Linux 5.12 or later", path)
    raise OSError(number, f"{call}: {os.strerror(number)}", path)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int, path: str | None = None) -> None:
    """setns(2); `path` is only for the error message."""
    _check(_libc.setns(fd, flags), "setns", path)


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """mount(2), for what the newer calls can't do: propagation, and options beyond 255 bytes."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), flags, os.fsencode(data)
    )
    _check(result, "mount", target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), "umount", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    _check(_libc.pivot_root(os.fsencode(new_root), os.fsencode(put_old)), "pivot_root", new_root)


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2); the descriptor is closed on exec."""
    how = open_how(flags | os.O_CLOEXEC, 0, resolve)
    result = _libc.syscall(
        NR_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
    )
    return _check(result, "openat2", path)


def open_tree(directory: int, path: str, flags: int) -> int:
    """open_tree(2)."""
    result = _libc.syscall(NR_OPEN_TREE, directory, os.fsencode(path), flags | OPEN_TREE_CLOEXEC)
    return _check(result, "open_tree", path)


def move_mount(mount_fd: int, target_fd: int, path: str | None = None) -> None:
    """move_mount(2) from a mount to a place that are both given by descriptor."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _check(_libc.syscall(NR_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags), "move_mount", path)


def mount_setattr(
    mount_fd: int, flags: int, attr_set: int, attr_clr: int = 0, propagation: int = 0
) -> None:
    """mount_setattr(2) on the mount that the descriptor stands for."""
    attributes = mount_attr(attr_set, attr_clr, propagation, 0)
    result = _libc.syscall(
        NR_MOUNT_SETATTR,
        mount_fd,
        b"",
        flags | AT_EMPTY_PATH,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    _check(result, "mount_setattr")


def fsopen(kind: str) -> int:
    """fsopen(2)."""
    return _check(_libc.syscall(NR_FSOPEN, kind.encode(), FSOPEN_CLOEXEC), "fsopen", kind)


def fsconfig(context: int, command: int, key: str | None = None, value: str | None = None) -> None:
    """fsconfig(2); what the file system itself has to say is in the error."""
    result = _libc.syscall(
        NR_FSCONFIG,
        context,
        command,
        key.encode() if key is not None else None,
        os.fsencode(value) if value is not None else None,
        0,
    )
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"fsconfig: {os.strerror(number)}{_fs_messages(context)}", key)


def _fs_messages(context: int) -> str:
    """Fetch the kernel's own words from a file system context (fsopen(2), "Message retrieval")."""
    try:
        return ": " + os.read(context, 1024).decode(errors="replace").strip()
    except OSError:
        return ""


def fsmount(context: int, attributes: int) -> int:
    """fsmount(2)."""
    return _check(_libc.syscall(NR_FSMOUNT, context, FSMOUNT_CLOEXEC, attributes), "fsmount")


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    """prctl(2) with up to two numbers."""
    return _check(_libc.prctl(option, second, third, 0, 0), "prctl")


def seccomp_filter(program: bytes, flags: int) -> None:
    """seccomp(2), SECCOMP_SET_MODE_FILTER; `program` is an array of struct sock_filter."""
    fprog = sock_fprog(len(program) // 8, program)
    result = _libc.syscall(NR_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(fprog))
    _check(result, "seccomp")


def bpf_load(kind: int, program: bytes, path: str) -> int:
    """bpf(2), BPF_PROG_LOAD of instructions of eight bytes each; returns the program's descriptor."""
    attr = bpf_load_attr(kind, len(program) // 8, program, b"Apache-2.0")
    result = _libc.syscall(NR_BPF, BPF_PROG_LOAD, ctypes.byref(attr), ctypes.sizeof(attr))
    return _check(result, "bpf", path)


def bpf_attach(target: int, program: int, kind: int, path: str) -> None:
    """bpf(2), BPF_PROG_ATTACH beside the programs that are there."""
    attr = bpf_attach_attr(target, program, kind, BPF_F_ALLOW_MULTI)
    result = _libc.syscall(NR_BPF, BPF_PROG_ATTACH, ctypes.byref(attr), ctypes.sizeof(attr))
    _check(result, "bpf", path)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) on the calling thread, with sets as bit masks."""
    header = cap_user_header_t(LINUX_CAPABILITY_VERSION_3, 0)
    low = 0xFFFFFFFF
    data = (cap_user_data_t * 2)(
        cap_user_data_t(effective & low, permitted & low, inheritable & low),
        cap_user_data_t(effective >> 32, permitted >> 32, inheritable >> 32),
    )
    _check(_libc.capset(ctypes.byref(header), data), "capset")


def capget_permitted() -> int:
    """capget(2): the permitted set of the calling thread, as a bit mask."""
    header = cap_user_header_t(LINUX_CAPABILITY_VERSION_3, 0)
    data = (cap_user_data_t * 2)()
    _check(_libc.capget(ctypes.byref(header), data), "capget")
    return int(data[0].permitted) | int(data[1].permitted) << 32


def sethostname(name: str) -> None:
    """sethostname(2)."""
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)), "sethostname")


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    raw = name.encode()
    _check(_libc.setdomainname(raw, len(raw)), "setdomainname")


def close_range(first: int, last: int) -> None:
    """close_range(2): close every descriptor from `first` to `last`."""
    _check(
        _libc.syscall(NR_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0), "close_range"
    )


def filesystem_type(fd: int) -> int:
    """fstatfs(2): the magic number of the file system that a descriptor lies on."""
    buffer = (ctypes.c_long * 32)()  # struct statfs is 120 bytes and begins with f_type
    _check(_libc.fstatfs(fd, buffer), "fstatfs")
    return buffer[0]


def join_session_keyring() -> None:
    """Leave the caller's session keyring for a new, empty one (keyctl(2))."""
    result = _libc.syscall(NR_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
    _check(result, "keyctl")
