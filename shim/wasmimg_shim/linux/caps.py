"""Capabilities: names to bits, and the steps from full root to exactly the sets given.

Source: capabilities(7); the numbers are those of linux/capability.h.
"""

from __future__ import annotations

from typing import NamedTuple

from wasmimg_shim.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.spec import Capabilities

#: in the order of their numbers
NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
#: capabilities that a newer kernel may know and this table does not are dropped as well
HIGHEST = 63


class CapabilitySets(NamedTuple):
    """The five sets as bit masks, cut to what the process may have at all."""

    bounding: int
    effective: int
    inheritable: int
    permitted: int
    ambient: int


def mask(names: frozenset[str]) -> int:
    """Turn names into bits; names that Linux doesn't know (yet) are left out, as runc does."""
    bits = 0
    for name in names:
        number = NUMBERS.get(name)
        if number is not None:
            bits |= 1 << number
    return bits


def plan(capabilities: Capabilities, available: int, uid: int) -> CapabilitySets:
    """Cut the sets to `available`, and to each other as the kernel demands it.

    A runtime that lacks a capability itself can't give it: it is left out with no error, as runc
    has done since 1.0.0-rc93. A user other than root is left with the ambient set: engines give
    the same sets whoever it is, and rely on execve(2), which no guest goes through, to clear them
    (capabilities(7), "Transformation of capabilities during execve").
    """
    permitted = mask(capabilities.permitted) & available
    inheritable = mask(capabilities.inheritable) & available
    ambient = mask(capabilities.ambient) & permitted & inheritable
    return CapabilitySets(
        bounding=mask(capabilities.bounding),
        effective=ambient if uid else mask(capabilities.effective) & permitted,
        inheritable=inheritable,
        permitted=ambient if uid else permitted,
        ambient=ambient,
    )


def available(status: str) -> int:
    """Read the permitted set out of the text of /proc/self/status."""
    for line in status.splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def permitted() -> int:
    """Ask for the calling thread's permitted set."""
    return libc.capget_permitted()


def drop_bounding(sets: CapabilitySets) -> None:
    """Drop everything else from the bounding set; needs CAP_SETPCAP."""
    for number in range(HIGHEST + 1):
        if not sets.bounding >> number & 1:
            try:
                libc.prctl(libc.PR_CAPBSET_DROP, number)
            except OSError:
                # EINVAL: the kernel has no such capability, nor any above it
                if number < len(NAMES):
                    raise
                return


def apply(sets: CapabilitySets) -> None:
    """Set what is effective, permitted, inheritable and ambient, in the order that works."""
    libc.capset(sets.effective, sets.permitted, sets.inheritable)
    libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(HIGHEST + 1):
        if sets.ambient >> number & 1:
            libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_RAISE, number)
