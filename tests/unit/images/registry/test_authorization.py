from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from wasmimg_images.errors import RegistryError
from wasmimg_images.registry.authorization import Authorizer, Scope, parse_token
from wasmimg_images.registry.credentials import Credential

if TYPE_CHECKING:
    from wasmimg_images.registry.message import Request

PUSH = (Scope("a/b", ("pull", "push")),)
PULL = (Scope("a/b", ("pull",)),)
BEARER = 'Bearer realm="https://auth.example/token",service="r.example",scope="x"'
ALICE = Credential("alice", "pw")


class TokenRealm:
    """Numbers the tokens it gives, and winds the clock."""

    def __init__(self, life: int = 300) -> None:
        self.requests: list[Request] = []
        self.life = life
        self.now = 1000.0

    def fetch(self, request: Request) -> bytes:
        self.requests.append(request)
        return json.dumps({"token": f"t{len(self.requests)}", "expires_in": self.life}).encode()

    def authorizer(self, credential: Credential | None, base: str = "https://r/") -> Authorizer:
        return Authorizer(base, lambda: credential, self.fetch, lambda: self.now)


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_nothing_is_sent_before_a_challenge() -> None:
    assert TokenRealm().authorizer(ALICE).header(PUSH) is None


def test_basic() -> None:
    authorizer = TokenRealm().authorizer(ALICE)
    answer = authorizer.answer('Basic realm="x"', PUSH, None)
    assert answer == basic("alice", "pw")
    assert authorizer.header(PULL) == answer
    assert authorizer.answer('Basic realm="x"', PUSH, answer) is None


def test_basic_without_credentials_has_no_answer() -> None:
    assert TokenRealm().authorizer(None).answer("Basic", PUSH, None) is None


def test_a_token_is_asked_for_what_is_needed_not_for_what_the_challenge_says() -> None:
    realm = TokenRealm()
    assert realm.authorizer(ALICE).answer(BEARER, PUSH, None) == "Bearer t1"
    [request] = realm.requests
    query = parse_qs(urlsplit(request.url).query)
    assert query == {
        "service": ["r.example"],
        "scope": ["repository:a/b:pull,push"],
        "account": ["alice"],
    }
    assert request.headers["authorization"] == basic("alice", "pw")


def test_tokens_are_kept_by_scope() -> None:
    realm = TokenRealm()
    authorizer = realm.authorizer(ALICE)
    authorizer.answer(BEARER, PUSH, None)
    assert authorizer.header(PUSH) == "Bearer t1"
    assert authorizer.header(PULL) == "Bearer t2"
    assert authorizer.header(PUSH) == "Bearer t1"
    assert len(realm.requests) == 2


def test_an_expired_token_is_replaced_and_a_refused_one_dropped() -> None:
    realm = TokenRealm(life=60)
    authorizer = realm.authorizer(ALICE)
    authorizer.answer(BEARER, PUSH, None)
    realm.now += 54
    assert authorizer.header(PUSH) == "Bearer t1"
    realm.now += 2
    assert authorizer.header(PUSH) == "Bearer t2"
    assert authorizer.answer(BEARER, PUSH, "Bearer t2") == "Bearer t3"


def test_an_anonymous_token_has_no_account() -> None:
    realm = TokenRealm()
    realm.authorizer(None).answer(BEARER, PULL, None)
    assert "account" not in realm.requests[0].url
    assert not realm.requests[0].headers


def test_an_identity_token_buys_a_token_by_post() -> None:
    realm = TokenRealm()
    realm.authorizer(Credential("", "", "ident")).answer(BEARER, PUSH, None)
    [request] = realm.requests
    assert (request.method, request.url) == ("POST", "https://auth.example/token")
    assert isinstance(request.body, bytes)
    assert parse_qs(request.body.decode()) == {
        "service": ["r.example"],
        "client_id": ["wasmimg"],
        "grant_type": ["refresh_token"],
        "refresh_token": ["ident"],
        "scope": ["repository:a/b:pull,push"],
    }
    assert "ident" not in request.url


@pytest.mark.parametrize("url", ["http://auth.example/token", "ftp://x/", "//x", "token"])
def test_secrets_do_not_leave_tls(url: str) -> None:
    realm = TokenRealm()
    with pytest.raises(RegistryError, match="token server"):
        realm.authorizer(ALICE).answer(f'Bearer realm="{url}"', PUSH, None)
    assert realm.requests == []


def test_plain_http_registries_may_have_plain_token_servers() -> None:
    realm = TokenRealm()
    answer = realm.authorizer(ALICE, "http://127.0.0.1:5000/").answer(
        'Bearer realm="http://127.0.0.1/t?a=b"', PUSH, None
    )
    assert answer == "Bearer t1"
    assert realm.requests[0].url.startswith("http://127.0.0.1/t?a=b&scope=")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token":""}', b'{"token":3}', b'{"token":"a\\nb"}', b"<html>"]
)
def test_answers_without_a_token(body: bytes) -> None:
    with pytest.raises(RegistryError, match="no token"):
        parse_token(body, 0)


@pytest.mark.parametrize(
    ("body", "expires"),
    [
        (b'{"token":"a"}', 55),
        (b'{"access_token":"a","expires_in":300}', 295),
        (b'{"token":"a","expires_in":4}', 2),
        (b'{"token":"a","expires_in":-1}', 55),
        (b'{"token":"a","expires_in":"x"}', 55),
    ],
)
def test_how_long_a_token_lasts(body: bytes, expires: float) -> None:
    assert parse_token(body, 0.0) == ("a", expires)
