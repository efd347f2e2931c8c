"""The registry on a port: HTTP by the standard library, one thread a connection."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, cast

from wasmimg_images.errors import HostError
from wasmimg_images.registry.server import route as routes
from wasmimg_images.registry.server.blobs import Blobs
from wasmimg_images.registry.server.htpasswd import Htpasswd
from wasmimg_images.registry.server.manifests import Manifests
from wasmimg_images.registry.server.reply import Incoming, Part, Problem, Reply, json_reply
from wasmimg_images.registry.server.request_body import Broken, RequestBody
from wasmimg_images.registry.server.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    Endpoint = Callable[[Incoming], Reply]

#: An unread body up to this size is read away, so that the connection can be kept.
_DRAIN: Final = 1 << 20
#: How long requests under way may take when the registry stops, seconds.
_GRACE: Final = 5.0
_IDLE: Final = 120.0
_READS: Final = frozenset({"GET", "HEAD"})


class Options(NamedTuple):
    """What a registry allows."""

    read_only: bool = False
    deletes: bool = False
    htpasswd: Path | None = None


class Registry:
    """All endpoints over one directory."""

    def __init__(self, storage: Storage, options: Options) -> None:
        blobs = Blobs(storage, deletes=options.deletes)
        manifests = Manifests(storage, deletes=options.deletes)
        self._read_only = options.read_only
        self._users = Htpasswd(options.htpasswd) if options.htpasswd else None
        self._endpoints: Mapping[str, tuple[Endpoint, frozenset[str]]] = {
            "base": (lambda _: json_reply({}), _READS),
            "catalog": (manifests.catalog, _READS),
            "manifest": (manifests.manifest, _READS | {"PUT", "DELETE"}),
            "tags": (manifests.tags, _READS),
            "referrers": (manifests.referrers, _READS),
            "blob": (blobs.blob, _READS | {"DELETE"}),
            "uploads": (blobs.begin, frozenset({"POST"})),
            "upload": (blobs.upload, frozenset({"GET", "PATCH", "PUT", "DELETE"})),
        }

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: RequestBody
    ) -> Reply:
        """Answer one request; refusals are answers too."""
        try:
            self._admit(headers)
            route, query = routes.parse(target)
            return self._endpoint(method, route)(
                Incoming(method, route, query, headers, body, body.length)
            )
        except Problem as problem:
            return problem.reply()

    def _admit(self, headers: Mapping[str, str]) -> None:
        if self._users and not self._users.allows(headers.get("authorization")):
            raise Problem(
                "UNAUTHORIZED",
                "authentication required",
                headers={"www-authenticate": 'Basic realm="wasmimg registry"'},
            )

    def _endpoint(self, method: str, route: routes.Route) -> Endpoint:
        endpoint, methods = self._endpoints[route.endpoint]
        if method not in methods:
            raise Problem("UNSUPPORTED", f"{method} is not supported here")
        if self._read_only and method not in _READS:
            raise Problem("UNSUPPORTED", "this registry is read-only")
        return endpoint


#: RFC 8446 section 5.1: the content type of the record that a TLS client begins with
_TLS_HANDSHAKE = b"\x16"
_PLAIN_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "wasmimg"
    sys_version = ""
    timeout: ClassVar[float | None] = _IDLE
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    rbufsize = 1 << 18

    def handle(self) -> None:
        """Serve the connection, or tell a client that begins with TLS that this is HTTP.

        Clients that try HTTPS first, containerd's among them, know it by the status line; http.server
        waits for a line's end, which a TLS record need not have, and answers without one.
        """
        try:
            if self.connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
                self.connection.recv(1 << 16)  # left unread it would turn the answer into a reset
                self.connection.sendall(_PLAIN_HTTP)
                return
        except OSError:
            return
        super().handle()

    def _serve(self) -> None:
        server = cast("Server", self.server)
        with server.request():
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                key = name.lower()
                headers[key] = f"{headers[key]}, {value}" if key in headers else value
            try:
                body = RequestBody(self.rfile, headers)
            except Problem as problem:
                self.close_connection = True
                self._send(problem.reply())
                return
            try:
                reply = server.registry.answer(self.command, self.path, headers, body)
            except (Broken, ConnectionError, TimeoutError):
                self.close_connection = True
                return
            except OSError as error:
                reply = _disk_trouble(error)
            self._settle(body)
            self._send(reply)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 -- http.server's names

    def _settle(self, body: RequestBody) -> None:
        """Read away what the endpoint left, or give the connection up after the answer."""
        left = _DRAIN
        with contextlib.suppress(OSError, TimeoutError):
            while not body.ended and left > 0:
                left -= len(body.read(left))
        if not body.ended:
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        body = reply.body
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("docker-distribution-api-version", "registry/2.0")
            length = body.length if isinstance(body, Part) else len(body)
            if reply.status != 204:  # noqa: PLR2004 -- RFC 9110 section 8.6: no Content-Length with No Content
                self.send_header("content-length", str(length))
            if self.close_connection:
                self.send_header("connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self._send_body(body)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        finally:
            if isinstance(body, Part):
                body.file.close()

    def _send_body(self, body: bytes | Part) -> None:
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        self.wfile.flush()
        if body.length:
            sent = self.connection.sendfile(body.file, body.offset, body.length)
            if sent < body.length:
                self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
        """Say nothing: the caller decides what is printed."""


def _disk_trouble(error: OSError) -> Reply:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        message = "no space left on the registry's disk"
        return json_reply({"errors": [{"code": "DENIED", "message": message}]}, 507)
    message = f"storage: {error.strerror or error}"
    return json_reply({"errors": [{"code": "UNKNOWN", "message": message}]}, 500)


class Server(ThreadingHTTPServer):
    """A listening registry; its directory belongs to it alone while it lives."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, directory: Path, host: str, port: int, options: Options | None = None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._under_way = 0
        self._settled = threading.Condition()
        # The port comes before the directory, which a port in use leaves as it is.
        super().__init__((host, port), _Handler, bind_and_activate=False)
        try:
            with _listening(host, port):
                self.server_bind()
            self._lock = _own(directory)
            try:
                storage = Storage(directory)
                storage.prepare()
                self.registry = Registry(storage, options or Options())
                with _listening(host, port):  # who listens may share an address that is bound
                    self.server_activate()
            except BaseException:
                os.close(self._lock)
                raise
        except BaseException:
            self.server_close()
            raise
        shown = f"[{host}]" if ":" in host else host
        self.host = f"{shown}:{self.server_address[1]}"
        self.url = f"http://{self.host}"

    @contextlib.contextmanager
    def request(self) -> Generator[None]:
        """Count a request while it runs."""
        with self._settled:
            self._under_way += 1
        try:
            yield
        finally:
            with self._settled:
                self._under_way -= 1
                self._settled.notify_all()

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Take no new connection, let requests under way end, let the directory go."""
        self.shutdown()
        self.server_close()
        with self._settled:
            self._settled.wait_for(lambda: not self._under_way, _GRACE)
        os.close(self._lock)

    def handle_error(self, request: object, client_address: object) -> None:
        """Swallow what a client that goes away causes; all else is a defect and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed is narrower


def serve(
    directory: Path,
    host: str,
    port: int,
    options: Options | None = None,
    *,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the URL once connections are accepted.

    To be called from the main thread. Raises HostError if the port or the directory is taken.
    """
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        server = Server(directory, host, port, options)
        server.start()
        ready(server.url)
        signal.sigwait(stop)
        server.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)


def _own(directory: Path) -> int:
    """Lock the directory; the kernel lets go of it however we end."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise HostError(
            f"{directory} is served by another registry",
            hint="push to that one, stop it, or name another folder",
        ) from None
    return fd


@contextlib.contextmanager
def _listening(host: str, port: int) -> Generator[None]:
    """Say of an error which port it was."""
    try:
        yield
    except OSError as error:
        hint = "another program has that port; choose one with --port"
        raise HostError(
            f"can't listen on {host}:{port}: {error.strerror}",
            hint=hint if error.errno == errno.EADDRINUSE else None,
        ) from error
