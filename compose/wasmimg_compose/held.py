"""The sockets that a supervisor holds for a running container, and how they are handed to it.

Whoever starts a container opens them, so that ports are taken before anything runs and the first
name the guest asks for waits in a queue instead of being refused.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import kernel
from wasmimg_compose.fields import Fields
from wasmimg_compose.hostfiles import RESPONDER

if TYPE_CHECKING:
    from pathlib import Path

DNS: Final = 53
#: Linux: SCM_MAX_FD, the most descriptors in one message.
MOST: Final = 253
LONGEST: Final = 4096


class Held(NamedTuple):
    """Reservations of published ports, and the two sockets on which names are asked."""

    ports: tuple[socket.socket, ...] = ()
    names: tuple[socket.socket, ...] = ()

    def close(self) -> None:
        """Let go of all of them."""
        for each in (*self.ports, *self.names):
            each.close()


class Watch(NamedTuple):
    """What a supervisor is told: look after this container, with these sockets."""

    container: str
    held: Held

    def send(self, door: socket.socket) -> None:
        """Send it over a connected SOCK_SEQPACKET socket; reservations beyond 250 stay behind."""
        ports = self.held.ports[: MOST - len(self.held.names)]
        document = {
            "container": self.container,
            "ports": len(ports),
            "names": len(self.held.names),
        }
        handles = [each.fileno() for each in (*ports, *self.held.names)]
        socket.send_fds(door, [json.dumps(document).encode()], handles)

    @classmethod
    def receive(cls, door: socket.socket) -> Watch | None:
        """Receive one; None at the end of the connection. InvalidInput for anything else."""
        raw, handles, _, _ = socket.recv_fds(door, LONGEST, MOST)
        if not raw:
            return None
        for handle in handles:  # recvmsg(2) leaves them open to every program we start
            os.set_inheritable(handle, False)
        sockets = tuple(socket.socket(fileno=handle) for handle in handles)
        fields = Fields.parse(raw, "supervisor")
        count = fields.integer("ports")
        return cls(fields.text("container"), Held(sockets[:count], sockets[count:]))


def name_sockets(namespace: Path) -> tuple[socket.socket, ...]:
    """Open the UDP and the TCP socket of the responder inside a container's network namespace."""
    with kernel.in_network(namespace):
        sockets = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        )
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind((RESPONDER, DNS))
    sockets[1].listen()
    return sockets
