"""What `wasmimg-probe` asks of a service, and what counts as an answer.

Apart from probe.py because only the probing child pays for the HTTP client.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.parse
from typing import Final

from wasmimg_compose.probe import BUILT_IN
from wasmimg_images.errors import InvalidInput

#: http answers from here on say that the service is not well.
BAD_STATUS: Final = 400


def answers(words: list[str], timeout: float) -> bool:
    """Ask once, from here: http must answer below 400, tcp must accept. InvalidInput."""
    match words:
        case ["http", url]:
            return _http(url, timeout)
        case ["tcp", target]:
            host, _, port = target.rpartition(":")
            if not port.isdecimal():
                raise InvalidInput(f"{BUILT_IN} tcp {target}: no port")
            with contextlib.suppress(OSError):
                socket.create_connection((host or "127.0.0.1", int(port)), timeout).close()
                return True
            return False
        case _:
            raise InvalidInput(
                f"{BUILT_IN} {' '.join(words)}: not known",
                hint="http URL or tcp [HOST:]PORT",
            )


def _http(url: str, timeout: float) -> bool:
    parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or parts.hostname is None:
        raise InvalidInput(f"{BUILT_IN} http {url}: an http:// URL is needed")
    # A container has no name but its own: localhost must not depend on its resolver.
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", target, headers={"Host": parts.netloc})
        return connection.getresponse().status < BAD_STATUS
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
