"""Choosing a subnet that nothing on this host uses.

10.128.0.0/9 is cut into /22 ranges. The first that is tried follows from the bridge's name, so
that two homes that choose at the same moment rarely meet; what the host has routes to is skipped.
"""

from __future__ import annotations

import ipaddress
import zlib
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

POOL: Final = ipaddress.IPv4Network("10.128.0.0/9")
PREFIX: Final = 22
#: Ranges that are no private network's: this host, loopback, multicast, reserved (RFC 6890).
SPECIAL: Final = tuple(
    ipaddress.IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")
)
#: The host, one container, and the two addresses that are nobody's.
LONGEST_PREFIX: Final = 30
#: The route table lists numbers in the host's byte order, eight hexadecimal digits (proc(5)).
_HEADER_LINES: Final = 1


def routed(table: str) -> list[ipaddress.IPv4Network]:
    """Read the ranges out of /proc/net/route, without the default route."""
    found: list[ipaddress.IPv4Network] = []
    for line in table.splitlines()[_HEADER_LINES:]:
        columns = line.split()
        destination, mask = (int(columns[place], 16) for place in (1, 7))
        if mask:
            address = ipaddress.IPv4Address(destination.to_bytes(4, "little"))
            bits = mask.bit_count()
            found.append(ipaddress.IPv4Network((address, bits), strict=False))
    return found


def choose(name: str, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Take a range for a bridge that overlaps with none; HostError if all are taken."""
    avoid = list(taken)
    count = 1 << (PREFIX - POOL.prefixlen)
    first = zlib.crc32(name.encode()) % count
    size = 1 << (32 - PREFIX)
    for step in range(count):
        start = POOL.network_address + ((first + step) % count) * size
        candidate = ipaddress.IPv4Network((start, PREFIX))
        if not any(candidate.overlaps(other) for other in avoid):
            return candidate
    raise HostError(f"no free address range in {POOL}", hint="give the network a subnet")


def parse(subnet: str) -> ipaddress.IPv4Network:
    """Read a range that the user gave; InvalidInput for what no network can have."""
    try:
        asked = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise InvalidInput(f"subnet {subnet}: {error}") from error
    if asked.prefixlen > LONGEST_PREFIX:
        raise InvalidInput(
            f"subnet {subnet}: too small for a container", hint=f"/{LONGEST_PREFIX} at most"
        )
    for other in SPECIAL:
        if asked.overlaps(other):
            raise InvalidInput(f"subnet {subnet}: {other} is no range for a network")
    return asked


def check(subnet: str, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Check a range that the user gave; InvalidInput, HostError if the host uses it."""
    asked = parse(subnet)
    for other in taken:
        if asked.overlaps(other):
            raise HostError(f"subnet {subnet}: this host has a route to {other}")
    return asked
