"""Addresses of WasmEdge's socket extension, and the host's socket behind a descriptor.

`address` is {u32 buffer, u32 length}. In the first version the buffer holds the 4 or 16 bytes of
an IP address; in the second it may also have 128 bytes: the family (1 or 2) in 16 bits, little
end first, then the IP address.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import fdtable, rights
from wasmimg_shim.wasi.errno import ADDRNOTAVAIL, INVAL, NOMEM, NOSYS, NOTSOCK
from wasmimg_shim.wasi.memory import Memory, Refused

if TYPE_CHECKING:
    from collections.abc import Generator

    from wasmimg_shim.wasi.fdtable import FdTable

__all__ = [
    "INET4",
    "INET6",
    "UNIX",
    "V2_BYTES",
    "Address",
    "aligned",
    "from_v1",
    "from_v2",
    "packed",
    "put_v1",
    "put_v2",
    "room_of",
    "socket_of",
    "to_v2",
]

#: (host, port), and for IPv6 flow label and scope, as Python's socket module has them
Address = tuple[str, int] | tuple[str, int, int, int]

INET4, INET6, UNIX = 1, 2, 3
V2_BYTES = 128
_IPV4, _IPV6 = 4, 16
_LAST_PORT = 0xFFFF


def aligned(*pointers: int) -> None:
    """Refused(ADDRNOTAVAIL), as WasmEdge, unless these can point to 32-bit words."""
    if any(pointer % 4 for pointer in pointers):
        raise Refused(ADDRNOTAVAIL)


def room_of(memory: Memory, address: int, lengths: set[int]) -> memoryview:
    """The buffer that an `address` names; Refused(INVAL) if it has none of these lengths."""
    aligned(address)
    buffer, length = memory.u32(address), memory.u32(address + 4)
    if length not in lengths:
        raise Refused(INVAL)
    return memory.window(buffer, length)


def from_v1(memory: Memory, address: int, port: int) -> Address:
    """Read an address of the first version."""
    return _address(room_of(memory, address, {_IPV4, _IPV6}), port)


def from_v2(memory: Memory, address: int, port: int) -> Address:
    """Read an address of the second version, in any of its three lengths."""
    room = room_of(memory, address, {_IPV4, _IPV6, V2_BYTES})
    if len(room) != V2_BYTES:
        return _address(room, port)
    match int.from_bytes(room[:2], "little"):
        case family if family == INET4:
            return _address(room[2 : 2 + _IPV4], port)
        case family if family == INET6:
            return _address(room[2 : 2 + _IPV6], port)
        case family if family == UNIX:
            raise Refused(NOSYS)
        case _:
            raise Refused(INVAL)


def packed(address: Address) -> bytes:
    """The 4 or 16 bytes of the address."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.inet_pton(family, address[0].partition("%")[0])


def to_v2(address: Address) -> bytes:
    """The 128 bytes of the second version."""
    content = packed(address)
    family = INET4 if len(content) == _IPV4 else INET6
    return (family.to_bytes(2, "little") + content).ljust(V2_BYTES, b"\0")


def put_v1(memory: Memory, found: Address, address: int, family: int, port: int) -> None:
    """Store an address with its family, which the first version writes as 4 or 6."""
    aligned(family, port)
    room = room_of(memory, address, {_IPV4, _IPV6})
    memory.check(family, 4)
    memory.check(port, 4)
    content = packed(found)
    if len(content) > len(room):
        raise Refused(NOMEM)
    room[: len(content)] = content
    memory.put_u32(family, 4 if len(content) == _IPV4 else 6)
    memory.put_u32(port, found[1])


def put_v2(memory: Memory, found: Address, address: int, port: int) -> None:
    """Store an address of 128 bytes."""
    aligned(port)
    room = room_of(memory, address, {V2_BYTES})
    memory.check(port, 4)
    room[:] = to_v2(found)
    memory.put_u32(port, found[1])


@contextmanager
def socket_of(table: FdTable, fd: int) -> Generator[socket.socket]:
    """Borrow the host's socket behind a descriptor; Refused(NOTSOCK) if it is none."""
    descriptor = table.get(fd)
    kinds = {
        fdtable.SOCKET_STREAM: socket.SOCK_STREAM,
        fdtable.SOCKET_DGRAM: socket.SOCK_DGRAM,
    }
    if descriptor.kind not in kinds or not descriptor.rights & rights.SOCK_SHUTDOWN:
        raise Refused(NOTSOCK)
    borrowed = socket.socket(descriptor.domain, kinds[descriptor.kind], 0, descriptor.host)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _address(room: memoryview, port: int) -> Address:
    if port > _LAST_PORT:
        raise Refused(INVAL)
    if len(room) == _IPV4:
        return socket.inet_ntop(socket.AF_INET, room), port
    return socket.inet_ntop(socket.AF_INET6, room), port, 0, 0
