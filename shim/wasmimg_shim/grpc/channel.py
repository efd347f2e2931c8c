"""A connection to a server at a Unix socket, on the shim's loop."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from wasmimg_shim.grpc.connection import ClientConnection
from wasmimg_shim.loop import readable, writable
from wasmimg_shim.ttrpc.status import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_PORTION = 1 << 18
#: for one step of the server: it reads its own disk at most
_PATIENCE_SECONDS = 10.0


class Channel:
    """Calls at a socket; `async with` closes it. Raises OSError, ProtocolError and RpcError."""

    def __init__(self, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._connection = ClientConnection(metadata)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    async def call(self, method: str, request: bytes) -> bytes:
        """Make a call that is answered with one message."""
        messages: list[bytes] = []
        await self.stream(method, request, messages.append)
        if len(messages) != 1:
            raise ProtocolError(f"{method}: {len(messages)} messages in place of one")
        return messages[0]

    async def stream(self, method: str, request: bytes, take: Callable[[bytes], None]) -> None:
        """Make a call, and give each message of its answer to `take` as it comes."""
        self._connection.call(method, request)
        await self._send()
        while not self._connection.finished:
            if not await readable(self._socket.fileno(), _PATIENCE_SECONDS):
                raise TimeoutError(f"{method}: no answer")
            portion = self._socket.recv(_PORTION)
            if not portion:
                raise ConnectionResetError(f"{method}: the connection was closed")
            for message in self._connection.receive(portion):
                take(message)
            await self._send()

    async def _send(self) -> None:
        rest = memoryview(self._connection.outgoing())
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                if not await writable(self._socket.fileno(), _PATIENCE_SECONDS):
                    raise TimeoutError("the server does not read") from None
