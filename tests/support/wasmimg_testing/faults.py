"""A proxy before a real registry that goes wrong when it is told to, and keeps a log."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

Kind = Literal[
    "status", "reset-upload", "truncate", "corrupt", "reset", "header", "dribble", "lost-answer"
]
PIECE = 1 << 16


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose "METHOD /path" matches."""

    pattern: str
    kind: Kind
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    after: int = 0
    body: bytes = b""


class FaultProxy:
    """Forwards to `upstream` (host:port); `log` has "METHOD path -> status" of each request."""

    def __init__(self, upstream: str, *faults: Fault) -> None:
        self.upstream = upstream
        self.faults = list(faults)
        self.log: list[str] = []
        self.sent = 0
        self._guard = threading.Lock()
        self._server = _Server(self)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def requests(self, pattern: str) -> list[str]:
        """Give the lines of the log that match."""
        return [line for line in self.log if re.search(pattern, line)]

    def take(self, request: str) -> Fault | None:
        """Find what is to go wrong now."""
        with self._guard:
            for fault in self.faults:
                if fault.times and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None

    def count(self, size: int) -> None:
        """Count bytes of request bodies."""
        with self._guard:
            self.sent += size


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: FaultProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def proxy(self) -> FaultProxy:
        assert isinstance(self.server, _Server)
        return self.server.owner

    def _forward(self) -> None:
        request = f"{self.command} {self.path}"
        fault = self.proxy.take(request)
        kind = fault.kind if fault else None
        if fault and kind == "status":
            self._drain()
            self._note(fault.status)
            self._plain(fault)
        elif kind == "reset":
            self._note("reset")
            self._reset()
        else:
            self._pass(fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _forward  # noqa: N815 -- http.server's names

    def _pass(self, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            if not self._send_up(upstream, fault):
                self._note("reset")
                self._reset()
                return
            response = upstream.getresponse()
            self._note(response.status)
            if fault and fault.kind == "lost-answer":
                response.read()
                self._reset()
            else:
                self._send_down(response, fault)
        finally:
            upstream.close()

    def _send_up(self, upstream: http.client.HTTPConnection, fault: Fault | None) -> bool:
        left = int(self.headers.get("content-length") or 0)
        passed = 0
        while left:
            data = self.rfile.read(min(PIECE, left))
            if not data:
                return False
            left -= len(data)
            if fault and fault.kind == "corrupt":
                data = bytes([data[0] ^ 1]) + data[1:]
            upstream.send(data)
            self.proxy.count(len(data))
            passed += len(data)
            if fault and fault.kind == "reset-upload" and passed >= fault.after:
                return False
        return True

    def _send_down(self, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        body = b"" if self.command == "HEAD" else response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        if fault:
            headers.update(fault.headers)
        if fault and fault.kind == "corrupt" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in headers and response.status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if fault and fault.kind == "truncate":
            self.wfile.write(body[: fault.after])
            self.close_connection = True  # an orderly end, too early
        elif fault and fault.kind == "dribble":
            for start in range(0, len(body), fault.after):
                self.wfile.write(body[start : start + fault.after])
        else:
            self.wfile.write(body)

    def _plain(self, fault: Fault) -> None:
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(fault.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(fault.body)

    def _drain(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _note(self, what: object) -> None:
        self.proxy.log.append(f"{self.command} {self.path} -> {what}")

    def log_message(self, *_: object) -> None:
        pass

    def finish(self) -> None:
        try:
            super().finish()
        except (ValueError, OSError):
            self.close_connection = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ValueError, OSError):
            self.close_connection = True
