"""The serving side of gRPC, as bytes and at a Unix socket: what containerd is to the shim."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, WindowUpdated
from h2.exceptions import ProtocolError

#: gives a call's messages and status; the request is its one message
Handler = Callable[[bytes], tuple[list[bytes], int, str]]


class ServerConnection:
    """One connection: bytes in and out; answers are sent as the windows let them."""

    def __init__(self, methods: Mapping[str, Handler]) -> None:
        self._methods = methods
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._requests: dict[int, bytearray] = {}
        self._paths: dict[int, str] = {}
        self._rest: dict[int, bytes] = {}
        self._trailers: dict[int, list[tuple[str, str]]] = {}
        self.headers: list[dict[str, str]] = []

    def outgoing(self) -> bytes:
        return self._http.data_to_send()

    def receive(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            match event:
                case RequestReceived():
                    headers = dict(event.headers)
                    self.headers.append(headers)
                    self._paths[event.stream_id] = headers[":path"]
                    self._requests[event.stream_id] = bytearray()
                case DataReceived():
                    self._requests[event.stream_id] += event.data
                    size = event.flow_controlled_length
                    self._http.acknowledge_received_data(size, event.stream_id)
                case StreamEnded():
                    self._answer(event.stream_id)
                case WindowUpdated():
                    for stream in list(self._rest):
                        self._push(stream)
                case _:
                    pass

    def _answer(self, stream: int) -> None:
        handler = self._methods.get(self._paths[stream], lambda _: ([], 12, "unknown method"))
        messages, code, text = handler(bytes(self._requests[stream][5:]))
        status = [("grpc-status", str(code)), ("grpc-message", text)]
        head = [(":status", "200"), ("content-type", "application/grpc")]
        if not messages and code:
            self._http.send_headers(stream, head + status, end_stream=True)
            return
        self._http.send_headers(stream, head)
        self._rest[stream] = b"".join(struct.pack(">BI", 0, len(m)) + m for m in messages)
        self._trailers[stream] = status
        self._push(stream)

    def _push(self, stream: int) -> None:
        rest = self._rest[stream]
        while rest:
            size = min(
                self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size
            )
            if size <= 0:
                self._rest[stream] = rest
                return
            self._http.send_data(stream, rest[:size])
            rest = rest[size:]
        del self._rest[stream]
        self._http.send_headers(stream, self._trailers.pop(stream), end_stream=True)


@contextlib.contextmanager
def serving(path: Path, methods: Mapping[str, Handler]) -> Generator[list[dict[str, str]]]:
    """Serve one connection after the other; gives the headers of all calls so far."""
    seen: list[dict[str, str]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock, contextlib.suppress(ProtocolError, ConnectionError):
                    connection = ServerConnection(methods)
                    connection.headers = seen
                    sock.sendall(connection.outgoing())
                    while data := sock.recv(65536):
                        connection.receive(data)
                        sock.sendall(connection.outgoing())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
