"""Receiving and sending: the socket functions that move bytes."""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import rights
from wasmimg_shim.wasi.errno import INVAL
from wasmimg_shim.wasi.function import host
from wasmimg_shim.wasi.memory import Memory, Refused
from wasmimg_shim.wasi.sockaddr import (
    V2_BYTES,
    Address,
    aligned,
    from_v1,
    from_v2,
    packed,
    room_of,
    socket_of,
    to_v2,
)

if TYPE_CHECKING:
    from wasmimg_shim.wasi.fdtable import FdTable

__all__ = ["Transfers"]

_PEEK, _WAITALL = 1, 2
_TRUNCATED = 1


class Transfers:
    """`sock_recv`, `sock_send` and their forms with an address."""

    def __init__(self, memory: Memory, table: FdTable) -> None:
        self._memory = memory
        self._table = table

    @host("sock_recv", "iiiiii")
    @host("sock_recv_v2", "iiiiii")
    def sock_recv(
        self, fd: int, iovecs: int, count: int, flags: int, size: int, out_flags: int
    ) -> None:
        self._receive(fd, iovecs, count, flags, size, out_flags)

    @host("sock_recv_from", "iiiiiii")
    def sock_recv_from(
        self,
        fd: int,
        iovecs: int,
        count: int,
        address: int,
        flags: int,
        size: int,
        out_flags: int,
    ) -> None:
        """The first version gives the sender's address without its port."""
        target = room_of(self._memory, address, {4, 16})
        sender = self._receive(fd, iovecs, count, flags, size, out_flags)
        if sender:
            content = packed(sender)[: len(target)]
            target[: len(content)] = content

    @host("sock_recv_from", "iiiiiiii")
    @host("sock_recv_from_v2", "iiiiiiii")
    def sock_recv_from_v2(
        self,
        fd: int,
        iovecs: int,
        count: int,
        address: int,
        flags: int,
        port: int,
        size: int,
        out_flags: int,
    ) -> None:
        """The port's 16 bits are in network order, the rest of the guest's word is left alone."""
        target = room_of(self._memory, address, {4, 16, 128})
        self._memory.check(port, 2)
        sender = self._receive(fd, iovecs, count, flags, size, out_flags)
        if sender:
            content = to_v2(sender) if len(target) == V2_BYTES else packed(sender)
            content = content[: len(target)]
            target[: len(content)] = content
            self._memory.write(port, sender[1].to_bytes(2, "big"))

    def _receive(
        self, fd: int, iovecs: int, count: int, flags: int, size: int, out_flags: int
    ) -> Address | None:
        descriptor = self._table.get(fd, rights.FD_READ)
        if flags & ~(_PEEK | _WAITALL):
            raise Refused(INVAL)
        aligned(size)
        self._memory.check(size, 4)
        self._memory.check(out_flags, 2)
        buffers = self._memory.buffers(iovecs, count)
        linux = (socket.MSG_PEEK if flags & _PEEK else 0) | (
            socket.MSG_WAITALL if flags & _WAITALL else 0
        )
        with socket_of(self._table, fd) as receiver:
            length, _, message_flags, sender = receiver.recvmsg_into(buffers, 0, linux)
        descriptor.owes = length > 0
        self._memory.put_u32(size, length)
        truncated = message_flags & socket.MSG_TRUNC
        self._memory.put_u16(out_flags, _TRUNCATED if truncated else 0)
        return sender or None

    @host("sock_send", "iiiii")
    @host("sock_send_v2", "iiiii")
    def sock_send(self, fd: int, iovecs: int, count: int, _flags: int, size: int) -> None:
        self._send(fd, iovecs, count, size, None)

    @host("sock_send_to", "iiiiiii")
    def sock_send_to(
        self,
        fd: int,
        iovecs: int,
        count: int,
        address: int,
        port: int,
        _flags: int,
        size: int,
    ) -> None:
        self._send(fd, iovecs, count, size, from_v1(self._memory, address, port))

    @host("sock_send_to_v2", "iiiiiii")
    def sock_send_to_v2(
        self,
        fd: int,
        iovecs: int,
        count: int,
        address: int,
        port: int,
        _flags: int,
        size: int,
    ) -> None:
        self._send(fd, iovecs, count, size, from_v2(self._memory, address, port))

    def _send(self, fd: int, iovecs: int, count: int, size: int, address: Address | None) -> None:
        descriptor = self._table.get(fd, rights.FD_WRITE)
        aligned(size)
        self._memory.check(size, 4)
        buffers = self._memory.buffers(iovecs, count)
        with socket_of(self._table, fd) as sender:
            sent = (
                sender.sendmsg(buffers, (), socket.MSG_NOSIGNAL)
                if address is None
                else sender.sendmsg(buffers, (), socket.MSG_NOSIGNAL, address)
            )
        descriptor.owes = False
        self._memory.put_u32(size, sent)
