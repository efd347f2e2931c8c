"""Namespaces: which are made, which are joined, and what is set in them (names, sysctls, loopback).

Source: runtime-spec, config-linux.md "Namespaces" and "Sysctl"; namespaces(7).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.spec import Namespace

FLAGS = {
    "pid": libc.CLONE_NEWPID,
    "ipc": libc.CLONE_NEWIPC,
    "uts": libc.CLONE_NEWUTS,
    "network": libc.CLONE_NEWNET,
    "cgroup": libc.CLONE_NEWCGROUP,
    "mount": libc.CLONE_NEWNS,
}
#: sysctls by the namespace that they belong to; every other one is the whole machine's
IPC_SYSCTLS = frozenset({"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem"})
IPC_PREFIXES = ("kernel/shm", "fs/mqueue/")
UTS_SYSCTLS = frozenset({"kernel/hostname", "kernel/domainname"})
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


class Namespaces(NamedTuple):
    """The container's own namespaces: `made` are types, `joined` are (type, path)."""

    made: frozenset[str]
    joined: tuple[tuple[str, str], ...]

    @property
    def own(self) -> frozenset[str]:
        """Every type in which the container is apart from the host."""
        return self.made | {kind for kind, _ in self.joined}

    def flags(self) -> int:
        """What init gives to unshare(2): all that are made but pid, which its parent makes."""
        flags = 0
        for kind in self.made - {"pid"}:
            flags |= FLAGS[kind]
        return flags


def plan(namespaces: tuple[Namespace, ...]) -> Namespaces:
    """Sort the namespaces; InvalidInput for what this runtime can't make."""
    made: set[str] = set()
    joined: list[tuple[str, str]] = []
    for kind, path in namespaces:
        if kind not in FLAGS:
            raise InvalidInput(f"namespace {kind!r} is not supported")
        if kind in made or any(kind == other for other, _ in joined):
            raise InvalidInput(f"namespace {kind!r} is given twice")
        if path:
            joined.append((kind, path))
        else:
            made.add(kind)
    if "mount" not in made:
        raise InvalidInput("a container needs a mount namespace of its own")
    return Namespaces(frozenset(made), tuple(joined))


def open_joined(namespaces: Namespaces) -> tuple[tuple[str, str, int], ...]:
    """Open the namespaces to be joined, as (type, path, descriptor); all or none."""
    opened: list[tuple[str, str, int]] = []
    try:
        for kind, path in namespaces.joined:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            opened.append((kind, path, fd))
    except OSError:
        for _, _, fd in opened:
            os.close(fd)
        raise
    return tuple(opened)


def bring_loopback_up() -> None:
    """Set `lo` up in a network namespace that has just been made (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def sysctl_path(name: str, own: frozenset[str]) -> str:
    """Find a sysctl's file; InvalidInput for one that would change the host.

    Both spellings are known: net.ipv4.ip_forward, and net/ipv4/conf/eth0.1/forwarding.
    """
    dot, slash = name.find("."), name.find("/")
    path = name.replace(".", "/") if dot >= 0 and (slash < 0 or dot < slash) else name
    parts = path.split("/")
    if not all(parts) or ".." in parts or "." in parts:
        raise InvalidInput(f"sysctl {name!r} is malformed")
    if path in IPC_SYSCTLS or path.startswith(IPC_PREFIXES):
        needed = "ipc"
    elif path.startswith("net/"):
        needed = "network"
    elif path in UTS_SYSCTLS:
        needed = "uts"
    else:
        raise InvalidInput(f"sysctl {name!r} belongs to no namespace: it would change the host")
    if needed not in own:
        raise InvalidInput(f"sysctl {name!r} needs a {needed} namespace of the container's own")
    return "/proc/sys/" + path


def write_sysctl(path: str, value: str) -> None:
    """Write a sysctl through the host's procfs: the kernel takes the writer's namespaces."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(fd)
