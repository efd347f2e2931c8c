"""Answering the name questions of one container, on UDP and TCP, at 127.0.0.11 in its namespace.

Names of containers on its networks are answered from the networks' records, everything else is
passed on to the host's servers and their answer passed back as it is.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from wasmimg_compose import names
from wasmimg_compose.hostfiles import upstream
from wasmimg_compose.network.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_compose.alarms import Alarm
    from wasmimg_compose.loop import Share
    from wasmimg_images.home import Home

DNS: Final = 53
LARGEST: Final = 65535
#: Seconds for one upstream server; each is asked once.
PATIENCE: Final = 2.0
#: Questions and connections under way; more are dropped, and asked again by their resolver.
MOST: Final = 256


class Responder:
    """The two sockets, and the questions that are on their way upstream.

    `servers` gives the addresses to ask, anew for each question: the host's may change.
    """

    def __init__(
        self,
        home: Home,
        container: str,
        sockets: tuple[socket.socket, ...],
        share: Share,
        servers: Callable[[], list[str]] = upstream,
        port: int = DNS,
    ) -> None:
        self._networks = Networks.of(home)
        self._servers, self._port = servers, port
        self._container = container
        self._share = share
        self._under_way: set[_Relayed | _Stream] = set()
        self._udp, self._tcp = sockets
        for each, call in ((self._udp, self._on_datagram), (self._tcp, self._on_connection)):
            each.setblocking(False)
            share.register(each, call)

    def close(self) -> None:
        """Stop answering; the sockets are their owner's."""
        for each in (self._udp, self._tcp):
            self._share.unregister(each)
        for under_way in list(self._under_way):
            under_way.close()

    def _on_datagram(self) -> None:
        with contextlib.suppress(OSError):
            question, asker = self._udp.recvfrom(LARGEST)

            def reply(answer: bytes) -> None:
                with contextlib.suppress(OSError):
                    self._udp.sendto(names.shortened(question, answer), asker)

            self._answer(question, reply)

    def _on_connection(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._tcp.accept()
            if len(self._under_way) >= MOST:
                connection.close()
                return
            self._under_way.add(_Stream(connection, self._share, self._answer, self._forget))

    def _answer(self, question: bytes, reply: Callable[[bytes], None]) -> None:
        table = names.Table.of(self._networks.all(), self._container)
        own = names.answer(question, table)
        if own is not None:
            reply(own)
            return
        servers = [(address, self._port) for address in self._servers()]
        if not servers or len(self._under_way) >= MOST:
            reply(names.failure(question))
            return
        self._under_way.add(_Relayed(question, servers, reply, self._share, self._forget))

    def _forget(self, done: _Relayed | _Stream) -> None:
        self._under_way.discard(done)


class _Relayed:
    """One question on its way upstream: each server in turn, the first answer back."""

    def __init__(
        self,
        question: bytes,
        servers: list[tuple[str, int]],
        reply: Callable[[bytes], None],
        share: Share,
        done: Callable[[_Relayed], None],
    ) -> None:
        self._question, self._servers, self._reply = question, servers, reply
        self._share, self._done = share, done
        self._socket: socket.socket | None = None
        self._alarm: Alarm | None = share.set(0, self._ask_next)

    def _ask_next(self) -> None:
        self._share.cancel(self._alarm)
        self._hang_up()
        if not self._servers:
            self._end(names.failure(self._question))
            return
        server, *self._servers = self._servers
        self._alarm = self._share.set(PATIENCE, self._ask_next)
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        with contextlib.suppress(OSError):
            asking = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket = asking
            self._share.register(asking, lambda: self._on_answer(asking))
            # Connected: only this server's packets come in, and "unreachable" is told at once.
            asking.connect(server)
            asking.send(self._question)
            return
        self._ask_next()

    def _on_answer(self, asked: socket.socket) -> None:
        try:
            answer = asked.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            self._ask_next()
            return
        if names.belongs(self._question, answer):
            self._end(answer)

    def _end(self, answer: bytes) -> None:
        self.close()
        self._reply(answer)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._share.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Stop asking."""
        self._share.cancel(self._alarm)
        self._hang_up()
        self._done(self)


class _Stream:
    """One TCP connection: questions and answers with two bytes of length (RFC 7766)."""

    def __init__(
        self,
        connection: socket.socket,
        share: Share,
        answer: Callable[[bytes, Callable[[bytes], None]], None],
        done: Callable[[_Stream], None],
    ) -> None:
        self._connection, self._share = connection, share
        self._answer, self._done = answer, done
        self._received = b""
        self._open = True
        connection.setblocking(False)
        share.register(connection, self._on_data)
        self._alarm = share.set(PATIENCE * 5, self.close)

    def _on_data(self) -> None:
        try:
            data = self._connection.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        while len(self._received) >= 2:  # noqa: PLR2004 - the length's own length
            size = int.from_bytes(self._received[:2], "big")
            if len(self._received) < 2 + size:
                return
            question, self._received = self._received[2 : 2 + size], self._received[2 + size :]
            self._answer(question, self._reply)

    def _reply(self, answer: bytes) -> None:
        if not self._open:
            return
        try:
            # An answer fits an empty send buffer; a client that lets it fill up is not waited for.
            self._connection.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if not self._open:
            return
        self._open = False
        self._share.cancel(self._alarm)
        self._share.unregister(self._connection)
        self._connection.close()
        self._done(self)
