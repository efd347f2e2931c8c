"""`sock_getaddrinfo`: the guest's linked list of `addrinfo`, filled from our own resolver.

The guest allocates the list, each element with a `sockaddr` and at least 26 bytes of `sa_data`;
what the host writes is laid out as WasmEdge does it.
"""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from wasmimg_shim.dnsmessage import Malformed
from wasmimg_shim.resolver import Address, Failure, Resolver, Unresolved
from wasmimg_shim.wasi import errno
from wasmimg_shim.wasi.function import host
from wasmimg_shim.wasi.memory import Memory, Refused
from wasmimg_shim.wasi.sockaddr import INET4, INET6, aligned

__all__ = ["Addrinfo"]

_PASSIVE, _CANONNAME, _NUMERICHOST, _NUMERICSERV = 1, 2, 4, 8
_ALL_FLAGS = 0x7F
_ANY = 0
_DGRAM, _STREAM = 1, 2
_TCP, _UDP = 1, 2
_HINTS = struct.Struct("<HBBB")
_INFO = struct.Struct("<HBBB3xI")
_INFO_BYTES, _SOCKADDR_BYTES = 28, 12
_ADDR_AT, _CANON_AT, _CANON_LENGTH_AT, _NEXT_AT = 12, 16, 20, 24
_FAMILIES = {INET4: socket.AF_INET, INET6: socket.AF_INET6}
_LAST_PORT = 0xFFFF
_SERVICES = "/etc/services"
_LARGEST_SERVICES = 1 << 20
_FAILURES = {
    Failure.NO_NAME: errno.AINONAME,
    Failure.NO_ADDRESS: errno.AINODATA,
    Failure.TRY_AGAIN: errno.AIAGAIN,
    Failure.FAILED: errno.AIFAIL,
}


class _Hints(NamedTuple):
    flags: int
    family: int
    kind: int
    protocol: int

    def families(self) -> list[int]:
        return [linux for wasi, linux in _FAMILIES.items() if self.family in {_ANY, wasi}]

    def kinds(self) -> list[tuple[int, int]]:
        """Socket type and protocol of each result that an address gives."""
        pairs = [(_STREAM, _TCP), (_DGRAM, _UDP)]
        found = [
            (kind, protocol)
            for kind, protocol in pairs
            if self.kind in {_ANY, kind} and self.protocol in {_ANY, protocol}
        ]
        if not found:
            raise Refused(errno.AISOCKTYPE)
        return found


class Addrinfo:
    """Looks up names for the guest."""

    def __init__(self, memory: Memory, resolver: Resolver | None = None) -> None:
        self._memory = memory
        self._resolver = resolver or Resolver()

    @host("sock_getaddrinfo", "iiiiiiii")
    @host("sock_getaddrinfo_v2", "iiiiiiii")
    def sock_getaddrinfo(
        self,
        node: int,
        node_length: int,
        service: int,
        service_length: int,
        hints: int,
        first: int,
        most: int,
        count: int,
    ) -> None:
        aligned(hints, first, count)
        self._memory.check(count, 4)
        asked = self._hints(hints)
        name = _string(self._memory.read(node, node_length))
        port_name = _string(self._memory.read(service, service_length))
        if not name and not port_name:
            raise Refused(errno.AINONAME)
        if most == 0:
            raise Refused(errno.AIMEMORY)
        kinds = asked.kinds()
        port = _port(port_name, asked)
        found = [
            (address, kind, protocol)
            for address in self._addresses(name, asked)
            for kind, protocol in kinds
        ][:most]
        element = self._memory.u32(first)
        for number, (address, kind, protocol) in enumerate(found):
            canonical = name if number == 0 and asked.flags & _CANONNAME else ""
            info = (asked.flags, kind, protocol)
            element = self._put(element, address, port, info, canonical)
        self._memory.put_u32(count, len(found))

    def _hints(self, at: int) -> _Hints:
        if at == 0:
            return _Hints(0, _ANY, _ANY, _ANY)
        hints = _Hints(*_HINTS.unpack(self._memory.read(at, _HINTS.size)))
        if hints.flags & ~_ALL_FLAGS:
            raise Refused(errno.AIBADFLAG)
        if hints.family != _ANY and hints.family not in _FAMILIES:
            raise Refused(errno.AIFAMILY)
        if hints.kind > _STREAM:
            raise Refused(errno.AISOCKTYPE)
        return hints

    def _addresses(self, name: str, hints: _Hints) -> list[Address]:
        families = hints.families()
        if not name:
            wildcard: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
            loopback: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
            texts = wildcard if hints.flags & _PASSIVE else loopback
            return [Address(family, texts[family]) for family in families]
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, name)
            except (OSError, ValueError):
                continue
            if family not in families:
                raise Refused(errno.AIADDRFAMILY)
            return [Address(family, name)]
        if hints.flags & _NUMERICHOST:
            raise Refused(errno.AINONAME)
        try:
            return self._resolver.lookup(name, families)
        except Unresolved as error:
            raise Refused(_FAILURES[error.failure]) from None
        except Malformed:
            raise Refused(errno.AINONAME) from None

    def _put(
        self, element: int, address: Address, port: int, info: tuple[int, int, int], canonical: str
    ) -> int:
        """Fill one element; returns the next."""
        memory = self._memory
        aligned(element)
        memory.check(element, _INFO_BYTES)
        flags, kind, protocol = info
        sockaddr = memory.u32(element + _ADDR_AT)
        aligned(sockaddr)
        memory.check(sockaddr, _SOCKADDR_BYTES)
        data = port.to_bytes(2, "big")
        if address.family == socket.AF_INET:
            family, length = INET4, 16
            data += socket.inet_pton(socket.AF_INET, address.text) + bytes(8)
        else:
            family, length = INET6, 28
            data += bytes(4) + socket.inet_pton(socket.AF_INET6, address.text) + bytes(4)
        memory.write(memory.u32(sockaddr + 8), data)
        memory.write(sockaddr, bytes((family,)))
        memory.put_u32(sockaddr + 4, len(data))
        memory.write(element, _INFO.pack(flags, family, kind, protocol, length))
        if canonical:
            room = memory.u32(element + _CANON_LENGTH_AT)
            content = canonical.encode()[:room]
            memory.write(memory.u32(element + _CANON_AT), content)
            memory.put_u32(element + _CANON_LENGTH_AT, len(content))
        return memory.u32(element + _NEXT_AT)


def _string(content: bytes) -> str:
    """A name may end with a NUL that its length counts."""
    return content.partition(b"\0")[0].decode("ascii", errors="surrogateescape")


def _port(service: str, hints: _Hints) -> int:
    """A number, or a name of the container's /etc/services (services(5))."""
    if not service:
        return 0
    if service.isascii() and service.isdigit():
        port = int(service[:9])
        if port > _LAST_PORT:
            raise Refused(errno.AISERVICE)
        return port
    if not hints.flags & _NUMERICSERV:
        suffix = "/udp" if hints.kind == _DGRAM else "/tcp"
        for line in _services().splitlines():
            match line.split("#")[0].split():
                case [name, port_text, *aliases] if service in {name, *aliases}:
                    number = port_text.removesuffix(suffix)
                    if number.isascii() and number.isdigit():
                        return int(number[:9]) & _LAST_PORT
                case _:
                    pass
    raise Refused(errno.AISERVICE)


def _services() -> str:
    try:
        fd = os.open(_SERVICES, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(fd, _LARGEST_SERVICES).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
