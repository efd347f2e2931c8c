"""Keeping published ports: a socket that never answers, held as long as the container runs.

Packets to the port are redirected before they reach it. The socket makes "the port is taken" an
error before anything starts, here and in every other program. It listens only once the redirection
is there: until then a client is to be refused, not kept waiting.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wasmimg_compose.container import Port

KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
#: /proc/net/tcp: sockets that listen; UDP sockets have state 07 (proc(5), tcp_states.h).
_LISTENING: Final = {"tcp": "0A", "udp": "07"}


class Reservation(NamedTuple):
    """A published port with the host's port filled in, and the socket that keeps it."""

    port: Port
    socket: socket.socket

    def listen(self) -> None:
        """Shut out programs that share addresses (SO_REUSEADDR); HostError if one was faster."""
        try:
            if self.port.protocol == "tcp":
                self.socket.listen(1)
        except OSError as error:
            raise _refused(self.port, error) from error


def reserve(ports: Iterable[Port]) -> list[Reservation]:
    """Take every port or none; HostError names the port and, where it can be found, who has it."""
    held: list[Reservation] = []
    try:
        held.extend(_take(port) for port in ports)
    except BaseException:
        for reservation in held:
            reservation.socket.close()
        raise
    return held


def _take(port: Port) -> Reservation:
    family = socket.AF_INET6 if ":" in port.host_ip else socket.AF_INET
    found = socket.socket(family, KINDS[port.protocol])
    try:
        if port.protocol == "tcp":
            # Connections of an earlier server that are still in TIME_WAIT are no obstacle.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((port.host_ip, port.host_port))
    except OSError as error:
        found.close()
        raise _refused(port, error) from error
    number: int = found.getsockname()[1]
    return Reservation(port._replace(host_port=number), found)


def _refused(port: Port, error: OSError) -> HostError:
    where = f"{port.host_ip}:{port.host_port}/{port.protocol}"
    match error.errno:
        case errno.EADDRINUSE:
            owner = _owner(port)
            by = f" by {owner}" if owner else ""
            return HostError(
                f"port {where} is in use{by}", hint="publish another port, or stop what has it"
            )
        case errno.EADDRNOTAVAIL:
            return HostError(f"port {where}: this host has no address {port.host_ip}")
        case _:
            return HostError(f"port {where}: {error.strerror}")


def _owner(port: Port) -> str:
    """Find the process that has a port, "" where /proc does not tell."""
    inodes = set(_inodes(port))
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if inodes.intersection(_handles(pid)):
            with open(f"/proc/{pid}/comm") as comm:
                return f"{comm.read().strip()} (pid {pid})"
    return ""


def _handles(pid: str) -> Iterator[str]:
    """List what a process has open; what it closes meanwhile, or all if it ends, is left out."""
    with contextlib.suppress(OSError):
        for handle in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                yield os.readlink(f"/proc/{pid}/fd/{handle}")


def _inodes(port: Port) -> Iterator[str]:
    for table in (port.protocol, f"{port.protocol}6"):
        try:
            with open(f"/proc/net/{table}") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            local, state, inode = columns[1], columns[3], columns[9]
            if state == _LISTENING[port.protocol] and local.endswith(f":{port.host_port:04X}"):
                yield f"socket:[{inode}]"
