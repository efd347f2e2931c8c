"""WasmEdge's socket extension and preview 1's own: sockets, addresses, options.

Where a name has two types, `sock_accept` among them, both are declared and the module's own import
decides (`world`). Functions of the second version also have a name that ends in `_v2`; only these
take an address of 128 bytes where both versions have one type. Misaligned pointers give
ADDRNOTAVAIL, as in WasmEdge.
"""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import ctypes
import socket
import struct
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import fdtable, rights
from wasmimg_shim.wasi.errno import AGAIN, INVAL, NOSYS, NOTSUP, from_linux
from wasmimg_shim.wasi.fdtable import Descriptor
from wasmimg_shim.wasi.function import host
from wasmimg_shim.wasi.memory import Memory, Refused
from wasmimg_shim.wasi.sockaddr import (
    Address,
    aligned,
    from_v1,
    from_v2,
    put_v1,
    put_v2,
    socket_of,
)

if TYPE_CHECKING:
    from wasmimg_shim.wasi.fdtable import FdTable

__all__ = ["Sockets"]

_FAMILIES = {1: socket.AF_INET, 2: socket.AF_INET6}
_UNIX = 3
_TYPES = {1: socket.SOCK_DGRAM, 2: socket.SOCK_STREAM}
_KINDS = {1: fdtable.SOCKET_DGRAM, 2: fdtable.SOCKET_STREAM}
_HOW = {1: socket.SHUT_RD, 2: socket.SHUT_WR, 3: socket.SHUT_RDWR}
_NONBLOCK = 4
_COUNT = struct.Struct("<I").pack_into
_SOL_SOCKET = 0
_OPTIONS = (
    socket.SO_REUSEADDR,
    socket.SO_TYPE,
    socket.SO_ERROR,
    socket.SO_DONTROUTE,
    socket.SO_BROADCAST,
    socket.SO_SNDBUF,
    socket.SO_RCVBUF,
    socket.SO_KEEPALIVE,
    socket.SO_OOBINLINE,
    socket.SO_LINGER,
    socket.SO_RCVLOWAT,
    socket.SO_RCVTIMEO,
    socket.SO_SNDTIMEO,
    socket.SO_ACCEPTCONN,
    socket.SO_BINDTODEVICE,
)
_OPT_TYPE, _OPT_ERROR = 1, 2
_LONGEST_OPTION = 256
_libc = ctypes.CDLL(None, use_errno=True)
_accept4 = _libc.accept4
_accept4.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)


class Sockets:
    """Functions whose names begin with `sock_`, but for name look-up."""

    def __init__(self, memory: Memory, table: FdTable) -> None:
        self._memory = memory
        self._table = table

    @host("sock_open", "iii")
    @host("sock_open_v2", "iii")
    def sock_open(self, family: int, kind: int, result: int) -> None:
        aligned(result)
        self._memory.check(result, 4)
        if family == _UNIX:
            raise Refused(NOSYS)
        if family not in _FAMILIES or kind not in _TYPES:
            raise Refused(INVAL)
        opened = socket.socket(_FAMILIES[family], _TYPES[kind])
        if kind == 2:  # noqa: PLR2004 -- the ABI can't ask for it; accepted sockets inherit it
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor = Descriptor(opened.detach(), _KINDS[kind], rights.SOCKET)
        descriptor.domain = _FAMILIES[family]
        _COUNT(self._memory.view, result, self._table.add(descriptor))

    @host("sock_bind", "iii")
    def sock_bind(self, fd: int, address: int, port: int) -> None:
        self._bind(fd, from_v1(self._memory, address, port))

    @host("sock_bind_v2", "iii")
    def sock_bind_v2(self, fd: int, address: int, port: int) -> None:
        self._bind(fd, from_v2(self._memory, address, port))

    def _bind(self, fd: int, address: Address) -> None:
        with socket_of(self._table, fd) as bound:
            bound.bind(address)

    @host("sock_listen", "ii")
    @host("sock_listen_v2", "ii")
    def sock_listen(self, fd: int, backlog: int) -> None:
        with socket_of(self._table, fd) as listener:
            listener.listen(min(backlog, socket.SOMAXCONN))
        self._table.get(fd).listening = True

    @host("sock_accept", "ii")
    def sock_accept_v1(self, fd: int, result: int) -> None:
        self._accept(fd, 0, result)

    @host("sock_accept", "iii")
    @host("sock_accept_v2", "iii")
    def sock_accept(self, fd: int, flags: int, result: int) -> None:
        if flags & ~_NONBLOCK:
            raise Refused(INVAL)
        self._accept(fd, flags, result)

    def _accept(self, fd: int, flags: int, result: int) -> None:
        listener = self._table.get(fd, rights.SOCK_ACCEPT)
        aligned(result)
        self._memory.check(result, 4)
        how = socket.SOCK_CLOEXEC | (socket.SOCK_NONBLOCK if flags & _NONBLOCK else 0)
        accepted = _accept4(listener.host, None, None, how)
        if accepted < 0:
            if not listener.listening:  # `stop_listening` put a pipe where the socket was
                raise Refused(AGAIN)
            number = ctypes.get_errno()
            raise OSError(number, "accept4")
        descriptor = Descriptor(accepted, listener.kind, rights.SOCKET)
        descriptor.domain = listener.domain
        descriptor.accepted = True
        _COUNT(self._memory.view, result, self._table.add(descriptor))

    @host("sock_connect", "iii")
    def sock_connect(self, fd: int, address: int, port: int) -> None:
        self._connect(fd, from_v1(self._memory, address, port))

    @host("sock_connect_v2", "iii")
    def sock_connect_v2(self, fd: int, address: int, port: int) -> None:
        self._connect(fd, from_v2(self._memory, address, port))

    def _connect(self, fd: int, address: Address) -> None:
        with socket_of(self._table, fd) as connecting:
            connecting.connect(address)

    @host("sock_shutdown", "ii")
    @host("sock_shutdown_v2", "ii")
    def sock_shutdown(self, fd: int, how: int) -> None:
        if how not in _HOW:
            raise Refused(INVAL)
        self._table.get(fd, rights.SOCK_SHUTDOWN)
        with socket_of(self._table, fd) as ended:
            ended.shutdown(_HOW[how])

    @host("sock_getsockopt", "iiiii")
    @host("sock_getsockopt_v2", "iiiii")
    def sock_getsockopt(self, fd: int, level: int, name: int, value: int, length: int) -> None:
        option = _option(level, name)
        aligned(length)
        room = self._memory.u32(length)
        target = self._memory.window(value, room)
        with socket_of(self._table, fd) as asked:
            if name in {_OPT_TYPE, _OPT_ERROR}:
                content = _number_of(asked, name).to_bytes(4, "little")
            else:
                content = asked.getsockopt(socket.SOL_SOCKET, option, min(room, _LONGEST_OPTION))
        if len(content) > room:
            raise Refused(INVAL)
        target[: len(content)] = content
        self._memory.put_u32(length, len(content))

    @host("sock_setsockopt", "iiiii")
    @host("sock_setsockopt_v2", "iiiii")
    def sock_setsockopt(self, fd: int, level: int, name: int, value: int, length: int) -> None:
        option = _option(level, name)
        content = self._memory.read(value, length)
        with socket_of(self._table, fd) as changed:
            changed.setsockopt(socket.SOL_SOCKET, option, content)

    @host("sock_getlocaladdr", "iiii")
    def sock_getlocaladdr(self, fd: int, address: int, family: int, port: int) -> None:
        with socket_of(self._table, fd) as asked:
            put_v1(self._memory, asked.getsockname(), address, family, port)

    @host("sock_getlocaladdr", "iii")
    @host("sock_getlocaladdr_v2", "iii")
    def sock_getlocaladdr_v2(self, fd: int, address: int, port: int) -> None:
        with socket_of(self._table, fd) as asked:
            put_v2(self._memory, asked.getsockname(), address, port)

    @host("sock_getpeeraddr", "iiii")
    def sock_getpeeraddr(self, fd: int, address: int, family: int, port: int) -> None:
        with socket_of(self._table, fd) as asked:
            put_v1(self._memory, asked.getpeername(), address, family, port)

    @host("sock_getpeeraddr", "iii")
    @host("sock_getpeeraddr_v2", "iii")
    def sock_getpeeraddr_v2(self, fd: int, address: int, port: int) -> None:
        with socket_of(self._table, fd) as asked:
            put_v2(self._memory, asked.getpeername(), address, port)


def _option(level: int, name: int) -> int:
    if level != _SOL_SOCKET or name >= len(_OPTIONS):
        raise Refused(INVAL)
    return _OPTIONS[name]


def _number_of(asked: socket.socket, name: int) -> int:
    """The two options that are numbers of WASI: a kind of socket and an errno."""
    number = asked.getsockopt(socket.SOL_SOCKET, _OPTIONS[name])
    if name == _OPT_ERROR:
        return from_linux(number) if number else 0
    for kind, linux in _TYPES.items():
        if linux == number:
            return kind
    raise Refused(NOTSUP)
