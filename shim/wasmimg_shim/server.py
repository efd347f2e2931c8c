"""The listening end: connections in, calls to the service, answers out in any order."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from wasmimg_shim import zygote_socket
from wasmimg_shim.loop import Event, Lock, readable, writable
from wasmimg_shim.rpc_status import status_of
from wasmimg_shim.ttrpc.server import Call, ServerConnection

if TYPE_CHECKING:
    from wasmimg_shim.loop import Job, Loop
    from wasmimg_shim.shim_log import ShimLog

_PORTION = 65536


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
        try:
            while True:
                await readable(sock.fileno())
                data = sock.recv(_PORTION)
                if not data:
                    return
                calls, answers = connection.receive(data)
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
