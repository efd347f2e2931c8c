"""From a challenge to an `Authorization` header: Basic, or Bearer with tokens that are cached.

Source: distribution's token authentication specification, and its OAuth2 variant for identity tokens.
A token is good for what it was asked for: realm, service and scope together are its key. A
push asks for `pull,push` at once, so that no second token is needed.
"""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from wasmimg_images.errors import RegistryError
from wasmimg_images.registry import challenge as challenges
from wasmimg_images.registry.message import Request
from wasmimg_images.registry.url import split_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_images.registry.credentials import Credential

#: What the specification says a token without `expires_in` lasts, seconds.
_DEFAULT_LIFE: Final = 60.0
#: Taken off every token's life, seconds: it must survive its request's way.
_MARGIN: Final = 5.0
_CLIENT: Final = "wasmimg"


class Scope(NamedTuple):
    """What a token is to allow: actions on one repository."""

    repository: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"repository:{self.repository}:{','.join(self.actions)}"


Scopes = tuple[Scope, ...]


class Token(NamedTuple):
    """An access token and when it ends, on the clock it was asked with."""

    value: str
    expires: float


class _Realm(NamedTuple):
    url: str
    service: str


class Authorizer:
    """Answers the challenges of one registry; threads may share it.

    `fetch` sends a token request and gives the body of a 200, or raises.
    """

    def __init__(
        self,
        base: str,
        credential: Callable[[], Credential | None],
        fetch: Callable[[Request], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._base = base
        self._find = credential
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = False
        self._credential: Credential | None = None
        self._basic: str | None = None
        self._realm: _Realm | None = None
        self._tokens: dict[tuple[_Realm, Scopes], Token] = {}

    def header(self, scopes: Scopes) -> str | None:
        """Give the header that the registry is known to want; nothing before its first challenge."""
        with self._lock:
            if self._realm is None:
                return self._basic
            return self._bearer(self._realm, scopes)

    def answer(self, header: str, scopes: Scopes, rejected: str | None) -> str | None:
        """Answer a 401 with a header worth trying; nothing when there is no other.

        Raises RegistryError when the challenge can't be answered safely.
        """
        chosen = challenges.choose(challenges.parse(header))
        if chosen is None:
            return None
        with self._lock:
            if chosen.scheme == "basic":
                answer = self._make_basic()
            else:
                parameters = chosen.parameters
                self._realm = _Realm(parameters["realm"], parameters.get("service", ""))
                if rejected is not None:
                    self._forget(rejected)
                answer = self._bearer(self._realm, scopes)
        return None if answer == rejected else answer

    def _make_basic(self) -> str | None:
        self._check(self._base)
        credential = self._known()
        if credential is not None and credential.username:
            self._basic = _basic(credential)
        return self._basic

    def _bearer(self, realm: _Realm, scopes: Scopes) -> str:
        token = self._tokens.get((realm, scopes))
        if token is None or token.expires <= self._clock():
            self._check(realm.url)
            request = token_request(realm.url, realm.service, scopes, self._known())
            token = parse_token(self._fetch(request), self._clock())
            self._tokens[realm, scopes] = token
        return f"Bearer {token.value}"

    def _forget(self, rejected: str) -> None:
        for key, token in tuple(self._tokens.items()):
            if f"Bearer {token.value}" == rejected:
                del self._tokens[key]

    def _known(self) -> Credential | None:
        if not self._looked:
            self._credential = self._find()
            self._looked = True
        return self._credential

    def _check(self, url: str) -> None:
        """Refuse to send a secret in the clear when the registry itself is called with TLS."""
        parts = split_url(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise RegistryError(f"the registry names a token server that is no URL: {url[:80]!r}")
        if parts.scheme == "http" and self._base.startswith("https:"):
            raise RegistryError(
                f"the registry names a token server without TLS: {parts.netloc}",
                hint="no credentials were sent; its administrator has to correct the realm",
            )


def token_request(
    realm: str, service: str, scopes: Scopes, credential: Credential | None
) -> Request:
    """Ask for a token: GET with Basic or anonymous, POST with an identity token."""
    fields = [("service", service)] if service else []
    if credential is not None and credential.identity_token:
        fields += [("client_id", _CLIENT), ("grant_type", "refresh_token")]
        fields += [("refresh_token", credential.identity_token)]
        if scopes:
            fields.append(("scope", " ".join(map(str, scopes))))
        kind = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode(fields).encode()
        return Request("POST", realm, kind, body, len(body))
    fields += [("scope", str(scope)) for scope in scopes]
    headers: dict[str, str] = {}
    if credential is not None and credential.username:
        fields.append(("account", credential.username))
        headers["authorization"] = _basic(credential)
    joint = "&" if split_url(realm).query else "?"
    return Request("GET", f"{realm}{joint}{urlencode(fields, safe=':/,')}", headers)


def parse_token(body: bytes, now: float) -> Token:
    """Read a token server's answer; raises RegistryError if there is no token in it."""
    try:
        answer: object = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"token": str(value)} | {"access_token": str(value)} if value and value.isprintable():
            pass
        case _:
            raise RegistryError("the token server's answer holds no token")
    match answer:
        case {"expires_in": int(seconds)} if seconds > 0:
            life = float(min(seconds, 10**6))
        case _:
            life = _DEFAULT_LIFE
    return Token(value, now + max(life - _MARGIN, life / 2))


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
