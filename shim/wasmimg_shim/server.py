"""The listening end: connections in, calls to the service, answers out in any order."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from wasmimg_shim import zygote_socket
from wasmimg_shim.loop import Event, Lock, readable, writable
from wasmimg_shim.rpc_status import status_of
from wasmimg_shim.ttrpc.server import Call, ServerConnection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_shim.loop import Job, Loop
    from wasmimg_shim.shim_log import ShimLog

_PORTION = 65536
#: how long, in seconds, a start verb's caller is waited for; and once somebody has made a container
_VISITOR_SECONDS = 5.0
_MOMENT = 1.0


class Service(Protocol):
    """What answers calls."""

    def is_endless(self, call: Call) -> bool:
        """Tell whether a call may be dropped when its caller has gone."""
        ...

    async def answer(self, call: Call) -> bytes:
        """Return the encoded response; any error becomes the status of the answer."""
        ...


class Server:
    """Serves every connection to one socket."""

    def __init__(self, loop: Loop, listener: socket.socket, service: Service, log: ShimLog) -> None:
        self._loop = loop
        self._listener = listener
        self._service = service
        self._log = log
        self._answering = 0
        self._quiet = Event(loop)
        self.connections = 0
        #: connections on which nobody has called yet
        self._silent = 0
        #: until when those are expected who came and went without a call
        self._visits: list[float] = []

    def expects(self) -> bool:
        """Tell whether somebody is about to call.

        That is who is connected and has not called yet, and, for some seconds, who came and went
        without a call: a start verb that found this shim alive, and tells its caller so.
        """
        now = time.monotonic()
        self._visits = [until for until in self._visits if until > now]
        return bool(self._silent or self._visits)

    def _note(self, calls: Sequence[Call]) -> None:
        """Expect for a moment only those whom a Create may have been for."""
        if self._visits and any(call.method == "Create" for call in calls):
            soon = time.monotonic() + _MOMENT
            self._visits = [min(until, soon) for until in self._visits]

    async def accept(self) -> None:
        """Take connections of this user and of root, for ever."""
        while True:
            await readable(self._listener.fileno())
            with suppress(BlockingIOError, ConnectionAbortedError):
                sock, _ = self._listener.accept()
                if zygote_socket.peer_ids(sock)[1] in {0, os.geteuid()}:
                    sock.setblocking(False)
                    self._loop.spawn(self._serve(sock))
                else:
                    sock.close()

    async def drain(self) -> None:
        """Wait until no call is being answered, but for Waits that will never be."""
        while self._answering:
            self._quiet.clear()
            if not await self._quiet.wait(1.0):
                return

    async def _serve(self, sock: socket.socket) -> None:
        connection, lock = ServerConnection(), Lock(self._loop)
        endless: set[Job[None]] = set()
        self.connections += 1
        self._silent += 1
        silent = True
        try:
            while True:
                await readable(sock.fileno())
                data = sock.recv(_PORTION)
                if not data:
                    if silent:
                        self._visits.append(time.monotonic() + _VISITOR_SECONDS)
                    return
                self._silent -= silent
                silent = False
                calls, answers = connection.receive(data)
                self._note(calls)
                await self._send(sock, lock, answers)
                for call in calls:
                    job = self._loop.spawn(self._answer(sock, lock, connection, call))
                    if self._service.is_endless(call):
                        endless.add(job)
                endless = {job for job in endless if not job.finished.is_set}
        except ConnectionError:
            return
        finally:
            self.connections -= 1
            self._silent -= silent
            for job in endless:
                job.cancel()
            sock.close()

    async def _answer(
        self, sock: socket.socket, lock: Lock, connection: ServerConnection, call: Call
    ) -> None:
        self._answering += 1
        try:
            try:
                answer = connection.reply(call.stream, await self._service.answer(call))
            except Exception as error:  # noqa: BLE001  # a call must be answered whatever happens
                code, message = status_of(error)
                self._log.debug(f"{call.method} failed", code=code.name, error=message)
                answer = connection.fail(call.stream, code, message)
            with suppress(ConnectionError):
                await self._send(sock, lock, answer)
        finally:
            self._answering -= 1
            self._quiet.set()

    @staticmethod
    async def _send(sock: socket.socket, lock: Lock, data: bytes) -> None:
        async with lock:
            rest = memoryview(data)
            while rest:
                try:
                    rest = rest[sock.send(rest) :]
                except BlockingIOError:
                    await writable(sock.fileno())
