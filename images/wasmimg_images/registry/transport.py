"""HTTP by urllib3: connections kept, TLS verified, proxies and certificates from the environment.

The only module of the client that imports urllib3, which costs some 100 ms: import it late.
Certificates: OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR, and `certs.d/HOST/*.crt` as Docker and
containers/image read them. Proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3 import exceptions as http

from wasmimg_images.registry.failure import Unreachable, redact
from wasmimg_images.registry.url import split_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from urllib3.response import BaseHTTPResponse

    from wasmimg_images.registry.message import Request

CERTIFICATES: Final = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
_CONNECT_TIMEOUT: Final = 10.0
_READ_TIMEOUT: Final = 60.0
_BLOCK: Final = 1 << 18
_CONNECTIONS: Final = 8


class Answer:
    """A urllib3 response as a Response."""

    def __init__(self, response: BaseHTTPResponse, url: str) -> None:
        self._response = response
        self._url = url
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    def read(self, size: int, /) -> bytes:
        """Read on."""
        try:
            return self._response.read1(size)  # what is there: read() loses a part when it fails
        except (http.HTTPError, OSError) as error:
            self._response.close()
            raise Unreachable(
                f"{redact(self._url)}: the answer broke off: {_reason(error)}", temporary=True
            ) from error

    def close(self) -> None:
        """Keep the connection if everything was read."""
        if self._response.length_remaining == 0:
            self._response.drain_conn()  # http.client wants its end-of-body read, even of nothing
            self._response.release_conn()
        else:
            self._response.close()


class HttpTransport:
    """Connections to any number of hosts; threads may share it."""

    def __init__(
        self, environ: Mapping[str, str], certificates: Sequence[Path] = CERTIFICATES
    ) -> None:
        self._environ = environ
        self._certificates = certificates
        self._pools: dict[str, urllib3.PoolManager] = {}

    def send(self, request: Request) -> Answer:
        """Send once, following no redirect."""
        headers = dict(request.headers)
        if request.length is not None:
            headers["content-length"] = str(request.length)
        body = request.body() if callable(request.body) else request.body
        try:
            response = self._pool(request.url).urlopen(
                request.method,
                request.url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (http.HTTPError, OSError) as error:
            raise unreachable(request.url, error) from error
        return Answer(response, request.url)

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = split_url(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools.setdefault(origin, self._make_pool(parts.scheme, parts.netloc))
        return pool

    def _make_pool(self, scheme: str, host: str) -> urllib3.PoolManager:
        context = self._context(host) if scheme == "https" else None
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=_READ_TIMEOUT)
        proxies = getproxies_environment()
        proxy = proxies.get(scheme)
        if proxy and not proxy_bypass(host):
            return urllib3.ProxyManager(
                proxy, timeout=timeout, ssl_context=context, maxsize=_CONNECTIONS, blocksize=_BLOCK
            )
        return urllib3.PoolManager(
            timeout=timeout, ssl_context=context, maxsize=_CONNECTIONS, blocksize=_BLOCK
        )

    def _context(self, host: str) -> ssl.SSLContext:
        """Trust the system's authorities, what the environment names, and the host's own folder."""
        context = ssl.create_default_context(
            cafile=self._environ.get("SSL_CERT_FILE") or None,
            capath=self._environ.get("SSL_CERT_DIR") or None,
        )
        for folder in self._certificates:
            for authority in sorted((folder / host).glob("*.crt")):
                context.load_verify_locations(authority)
        return context


def unreachable(url: str, error: Exception) -> Unreachable:
    """Say why no answer came, where, and whether another attempt may help."""
    parts = split_url(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    where = f"{parts.hostname}:{port}"
    cause = _cause(error)
    match cause:
        case ssl.SSLCertVerificationError():
            return Unreachable(
                f"{where}: certificate not trusted: {cause.verify_message}",
                temporary=False,
                hint="SSL_CERT_FILE=FILE names the authority's certificate",
            )
        case ssl.SSLError() if parts.scheme == "https" and "WRONG_VERSION" in str(cause.reason):
            return Unreachable(
                f"{where} does not speak TLS",
                temporary=False,
                hint="--plain-http if you trust the network between",
            )
        case ConnectionRefusedError():
            return Unreachable(
                f"{where}: connection refused", temporary=False, hint="is the registry running?"
            )
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return Unreachable(f"{parts.hostname}: name not resolved for now", temporary=True)
        case socket.gaierror():
            return Unreachable(
                f"{parts.hostname}: no such host", temporary=False, hint="check the image's name"
            )
        case _:
            return Unreachable(f"{where}: {_reason(cause)}", temporary=True)


def _cause(error: BaseException) -> BaseException:
    """Dig out what the operating system or TLS said; urllib3 wraps it up to three times."""
    for _ in range(6):
        if isinstance(error, socket.gaierror | ssl.SSLError | ConnectionRefusedError):
            return error
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            return error
        error = inner
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, http.TimeoutError | TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "the connection broke"
