"""The demo's service as a running process: natively, and as Wasm on an engine."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_testing.waiting import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).parents[3] / "demo-microservice"


class Answer(NamedTuple):
    """What a request was answered with; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Service:
    """One running service; `close()` ends it whatever state it is in."""

    def __init__(self, command: list[str], environment: Mapping[str, str], port: int) -> None:
        self.port = port
        self.database = ""
        # A file, so that the service never waits for whoever reads its log.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        self.process = subprocess.Popen(command, env=environment, stderr=self._log)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> list[str]:
        """Give the lines it has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode().splitlines()

    def errors(self) -> list[str]:
        """Give the lines that tell of errors."""
        return [line for line in self.log() if line.startswith("error: ")]

    def wait_ready(self) -> None:
        """Wait until it listens."""
        until(
            lambda: bool(self.log()) or self.process.poll() is not None, "the service's first line"
        )
        assert self.log()[0] == f"listening at 0.0.0.0:{self.port}", self.log()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        with self.connection() as connection:
            return ask(connection, method, path, body, headers)

    def get(self, path: str) -> Answer:
        """GET on a connection of its own."""
        return self.request("GET", path)

    def post(self, path: str, body: bytes | str) -> Answer:
        """POST on a connection of its own."""
        return self.request("POST", path, body)

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """Give a connection for several requests."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def socket(self) -> socket.socket:
        """Give a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ticks(self) -> int:
        """Read the CPU time used by all its threads, in clock ticks (proc(5))."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def stop(self) -> int:
        """Ask it to stop and wait; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        """End it at once, if it still runs."""
        self.process.kill()
        self.process.wait()
        self._log.close()


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request and read its answer to the end."""
    data = body.encode() if isinstance(body, str) else body
    connection.request(method, path, body=data, headers=dict(headers or {}))
    response = connection.getresponse()
    fields = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, fields, response.read())


class Native(NamedTuple):
    """The service as a program of this machine."""

    binary: Path

    def command(self, words: tuple[str, ...], variables: Mapping[str, str]) -> list[str]:
        """Give the command line; the variables are in the environment anyway."""
        return [str(self.binary), *words]


class OnEngine(NamedTuple):
    """The service as a Wasm module on an engine, with a folder that is its root."""

    module: Path
    root: Path

    def command(self, words: tuple[str, ...], variables: Mapping[str, str]) -> list[str]:
        """Give the command line; the variables are handed on to the guest."""
        engine = [sys.executable, "-m", "wasmimg_shim.engine", "--dir", f"/={self.root}"]
        passed = [word for name in variables for word in ("--env", name)]
        return [*engine, *passed, str(self.module), *words]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Give this process's environment without what the service would read, and the variables."""
    read = ("DATABASE_URL", "DNS_SERVER", "IDLE_TIMEOUT", "PORT")
    return {name: value for name, value in os.environ.items() if name not in read} | dict(variables)


def start(implementation: Native | OnEngine, variables: Mapping[str, str]) -> Service:
    """Start the service at a free port, and wait until it listens."""
    port = free_port()
    variables = {"PORT": str(port), **variables}
    service = Service(implementation.command((), variables), environment(variables), port)
    service.wait_ready()
    return service
