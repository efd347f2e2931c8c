"""The few calls of Docker's Engine API that installing needs, over its Unix socket.

The `docker` command may be missing where dockerd is there. Source: Engine API v1.42 (Docker 23),
which later engines answer as well; calls go without a version, so that the engine takes its own.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from wasmimg_images.document import Node
from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: seconds; what takes longer than its call should is told from a daemon that hangs
TIMEOUT: Final = 60.0
_FAILED: Final = 400


class DockerError(HostError):
    """Docker refused a call, or did not answer it."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the Unix socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class DockerApi:
    """Calls to the engine behind a socket; each raises DockerError."""

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self._path = path
        self._timeout = timeout

    def get(self, path: str, **query: str) -> Node:
        """Ask for a document."""
        return Node.parse(self.call("GET", path, query), f"Docker's answer to {path}")

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Make one call and return the body of the answer."""
        connection = _Connection(self._path, self._timeout)
        target = quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            connection.request(method, target, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            data = answer.read()
        except TimeoutError:
            raise DockerError(
                f"Docker did not answer {method} {path} in {self._timeout:.0f} s",
                hint="its log says more: journalctl -u docker",
            ) from None
        except PermissionError as error:
            raise DockerError(f"{self._path}: {error.strerror}", hint="sudo") from None
        except (OSError, http.client.HTTPException) as error:
            said = " ".join(str(error).split())
            raise DockerError(f"Docker at {self._path} does not answer: {said}") from error
        finally:
            connection.close()
        if answer.status >= _FAILED:
            raise DockerError(f"Docker: {_message(data)}")
        return data


def _message(data: bytes) -> str:
    """Return the first line of an error's text."""
    try:
        text = Node.parse(data, "").need("message").text()
    except Exception:  # noqa: BLE001 - a proxy may have answered: then the text is all there is
        text = data.decode(errors="replace")
    return text.strip().partition("\n")[0] or "no reason given"


def demultiplex(data: bytes) -> tuple[bytes, bytes]:
    """Split a log without a terminal into standard output and error (Engine API, ContainerAttach)."""
    streams: dict[int, bytes] = {}
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8])
        streams[data[at]] = streams.get(data[at], b"") + data[at + 8 : at + 8 + size]
        at += 8 + size
    return streams.get(1, b""), streams.get(2, b"")


def encoded(document: Mapping[str, object]) -> bytes:
    """Return the body of a request."""
    return json.dumps(dict(document)).encode()
