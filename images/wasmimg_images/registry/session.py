"""A conversation with one registry: authorization, redirects, retries, and refusals made errors.

The host's scheme is decided here: http for this machine's own addresses and for hosts named insecure,
https for all others, whatever the answers say.
"""

from __future__ import annotations

import contextlib
import random
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import RegistryError, WasmimgError
from wasmimg_images.registry.authorization import Authorizer, Scopes
from wasmimg_images.registry.failure import BODY_LIMIT, Unreachable, redact, refusal
from wasmimg_images.registry.message import Request, Response, Transport, read_at_most
from wasmimg_images.registry.retry import TEMPORARY, Policy, retry_after
from wasmimg_images.registry.url import join_url, split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from wasmimg_images.registry.credentials import Credential

_HUB: Final = {"docker.io": "registry-1.docker.io"}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_UNAUTHORIZED: Final = 401
_OK: Final = 200
_TOKEN_LIMIT: Final = 1 << 20


class Effects(NamedTuple):
    """What a session takes from outside, so that tests can wind the clock."""

    transport: Transport
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    policy: Policy = Policy()


class Backoff:
    """Counts failures in a row, and sleeps between them or gives up."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._failures = 0

    def succeeded(self) -> None:
        """Something came through: start counting again."""
        self._failures = 0

    def failed(self, error: WasmimgError, wish: str | None = None) -> None:
        """Wait before another try, or raise `error` when there have been enough."""
        self._failures += 1
        asked = retry_after(wish, self._effects.now())
        delay = self._effects.policy.delay(self._failures, asked, self._effects.chance())
        if delay is None:
            raise error
        self._effects.sleep(delay)


class Session:
    """Sends requests to one registry; threads may share it."""

    def __init__(
        self, host: str, base: str, credential: Callable[[], Credential | None], effects: Effects
    ) -> None:
        self.host = host
        self.base = base
        self.effects = effects
        self._authorizer = Authorizer(base, credential, self._fetch, effects.clock)

    def exchange(
        self, what: str, request: Request, scopes: Scopes, *, expect: Collection[int] = (_OK,)
    ) -> Response:
        """Send until an expected status comes; temporary failures are tried again.

        For requests that do no harm when sent twice. Raises Refused, Unauthorized, NotFound, Unreachable.
        """
        backoff = Backoff(self.effects)
        while True:
            try:
                response = self.attempt(request, scopes)
            except Unreachable as broken:
                if not broken.temporary:
                    raise
                backoff.failed(broken)
                continue
            if response.status in expect:
                return response
            error = self.refused(what, response)
            if response.status not in TEMPORARY:
                raise error
            backoff.failed(error, response.headers.get("retry-after"))

    def document(
        self, what: str, request: Request, scopes: Scopes, limit: int
    ) -> tuple[Response, bytes]:
        """Get a small body whole, trying again when it breaks off; raises RegistryError beyond `limit`."""
        backoff = Backoff(self.effects)
        while True:
            response = self.exchange(what, request, scopes)
            try:
                body = read_at_most(response, limit + 1)
            except Unreachable as error:
                backoff.failed(error)
                continue
            finally:
                response.close()
            if len(body) > limit:
                raise RegistryError(f"{what}: {self.host} sends more than {limit} bytes")
            return response, body

    def attempt(self, request: Request, scopes: Scopes) -> Response:
        """Send once; a 401 is answered once, redirects are followed. Raises Unreachable."""
        request = request._replace(url=join_url(self.base, request.url))
        header = self._authorizer.header(scopes) if self._is_ours(request.url) else None
        response = self._send(request, header)
        challenge = response.headers.get("www-authenticate")
        if response.status == _UNAUTHORIZED and challenge and self._is_ours(request.url):
            try:
                answer = self._authorizer.answer(challenge, scopes, header)
            except WasmimgError:
                response.close()
                raise
            if answer is not None:
                read_at_most(response, BODY_LIMIT)  # a body read to its end frees the connection
                response.close()
                response = self._send(request, answer)
        return response

    def refused(self, what: str, response: Response) -> WasmimgError:
        """Turn an unexpected answer into an error, reading a little of its body."""
        try:
            body = read_at_most(response, BODY_LIMIT)
        except Unreachable:
            body = b""
        response.close()
        plain = self.base.startswith("http:")
        return refusal(what, self.host, response.status, body, plain_http=plain)

    def location(self, response: Response, request_url: str) -> str | None:
        """Make a Location absolute; raises RegistryError if it leads away from TLS."""
        target = response.headers.get("location")
        if not target:
            return None
        return self._follow(join_url(join_url(self.base, request_url), target))

    def _send(self, request: Request, header: str | None) -> Response:
        """Send with our header, which no other host gets to see."""
        for _ in range(_MAX_REDIRECTS + 1):
            headers = dict(request.headers)
            headers.setdefault("user-agent", "wasmimg")
            if header is not None and self._is_ours(request.url):
                headers["authorization"] = header
            response = self.effects.transport.send(request._replace(headers=headers))
            target = response.headers.get("location")
            if response.status not in _REDIRECTS or not target:
                return response
            response.close()
            request = request._replace(url=self._follow(join_url(request.url, target)))
        raise RegistryError(f"{redact(request.url)}: more than {_MAX_REDIRECTS} redirects")

    def _follow(self, url: str) -> str:
        scheme = split_url(url).scheme
        if scheme == "https" or (scheme == "http" and self.base.startswith("http:")):
            return url
        raise RegistryError(f"{self.host} leads to {redact(url)}, which is not TLS")

    def _is_ours(self, url: str) -> bool:
        return split_url(url)[:2] == split_url(self.base)[:2]

    def _fetch(self, request: Request) -> bytes:
        """Get a token; the token server's refusal is about credentials, ours or missing ones."""
        backoff = Backoff(self.effects)
        what = f"token for {self.host}"
        while True:
            try:
                response = self.effects.transport.send(request)
                if response.status == _OK:
                    with contextlib.closing(response):
                        return read_at_most(response, _TOKEN_LIMIT)
            except Unreachable as broken:
                if not broken.temporary:
                    raise
                backoff.failed(broken)
                continue
            error = self.refused(what, response)
            if response.status not in TEMPORARY:
                raise error
            backoff.failed(error, response.headers.get("retry-after"))


def base_url(host: str, *, plain_http: bool | None, insecure: Collection[str]) -> str:
    """Decide how a registry is called; `plain_http` overrides the rule."""
    host = _HUB.get(host, host)
    if plain_http is None:
        plain_http = host in insecure or is_loopback(host)
    return f"{'http' if plain_http else 'https'}://{host}/"


def is_loopback(host: str) -> bool:
    """Whether a registry's host[:port] is this machine."""
    name = split_url(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
