"""A session against a scripted transport: what it sends where, and when it stops."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from wasmimg_images.errors import NotFound, RegistryError
from wasmimg_images.registry.authorization import Scope
from wasmimg_images.registry.credentials import Credential
from wasmimg_images.registry.failure import Unauthorized, Unreachable
from wasmimg_images.registry.message import Request
from wasmimg_images.registry.retry import Policy
from wasmimg_images.registry.session import Effects, Session, base_url, is_loopback
from wasmimg_images.registry.url import split_url

PULL = (Scope("a", ("pull",)),)


class Scripted:
    """An answer of the script."""

    def __init__(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        self.closed = False

    def read(self, size: int, /) -> bytes:
        data, self.body = self.body[:size], self.body[size:]
        return data

    def close(self) -> None:
        self.closed = True


class Script:
    """A transport that gives the answers in turn; one request too many fails the test."""

    def __init__(self, *answers: Scripted | Unreachable) -> None:
        self.answers = list(answers)
        self.given: list[Scripted] = []
        self.requests: list[Request] = []
        self.slept: list[float] = []

    def send(self, request: Request) -> Scripted:
        self.requests.append(request)
        assert self.answers, f"unexpected {request.method} {request.url}"
        answer = self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        self.given.append(answer)
        return answer

    def close(self) -> None:
        pass

    def session(
        self, base: str = "https://r.example/", credential: Credential | None = None
    ) -> Session:
        effects = Effects(
            self,
            sleep=self.slept.append,
            clock=lambda: 0.0,
            now=lambda: 0.0,
            chance=lambda: 1.0,
            policy=Policy(attempts=3, first=1.0),
        )
        return Session("r.example", base, lambda: credential, effects)


GET = Request("GET", "/v2/a/manifests/1")


def test_what_is_expected_is_given_back() -> None:
    script = Script(Scripted(200))
    assert script.session().exchange("x", GET, PULL).status == 200
    assert script.requests[0].url == "https://r.example/v2/a/manifests/1"
    assert "authorization" not in script.requests[0].headers


def test_temporary_answers_are_retried_with_growing_waits() -> None:
    script = Script(Scripted(503), Unreachable("x", temporary=True), Scripted(200))
    assert script.session().exchange("x", GET, PULL).status == 200
    assert script.slept == [1.0, 2.0]
    assert all(answer.closed for answer in script.given[:-1])


def test_a_server_s_wish_is_heard() -> None:
    script = Script(Scripted(429, {"retry-after": "9"}), Scripted(200))
    script.session().exchange("x", GET, PULL)
    assert script.slept == [9.0]


def test_enough_is_enough() -> None:
    script = Script(Scripted(503), Scripted(503), Scripted(503))
    with pytest.raises(RegistryError, match=r"x: r\.example answered 503"):
        script.session().exchange("x", GET, PULL)


@pytest.mark.parametrize("answer", [Scripted(400), Unreachable("refused", temporary=False)])
def test_what_stays_so_is_not_retried(answer: Scripted | Unreachable) -> None:
    script = Script(answer)
    with pytest.raises(RegistryError):
        script.session().exchange("x", GET, PULL)
    assert script.slept == []


def test_not_found() -> None:
    with pytest.raises(NotFound):
        Script(Scripted(404)).session().exchange("x", GET, PULL)


def test_a_challenge_is_answered_once() -> None:
    ask = Scripted(401, {"www-authenticate": 'Basic realm="x"'})
    script = Script(ask, Scripted(200))
    session = script.session(credential=Credential("u", "p"))
    session.exchange("x", GET, PULL)
    expected = f"Basic {base64.b64encode(b'u:p').decode()}"
    assert script.requests[1].headers["authorization"] == expected
    script.answers.append(Scripted(200))
    session.exchange("x", GET, PULL)
    assert script.requests[2].headers["authorization"] == expected
    script.answers.append(Scripted(401, ask.headers))
    with pytest.raises(Unauthorized):
        session.exchange("x", GET, PULL)
    assert len(script.requests) == 4


def test_a_token_is_fetched_and_used() -> None:
    challenge = {"www-authenticate": 'Bearer realm="https://auth/t",service="s"'}
    script = Script(Scripted(401, challenge), Scripted(200, body=b'{"token":"T"}'), Scripted(200))
    script.session(credential=Credential("u", "p")).exchange("x", GET, PULL)
    assert script.requests[1].url.startswith("https://auth/t?service=s&scope=repository:a:pull")
    assert script.requests[2].headers["authorization"] == "Bearer T"


def test_a_token_server_that_refuses_says_what_to_do() -> None:
    challenge = {"www-authenticate": 'Bearer realm="https://auth/t"'}
    script = Script(Scripted(401, challenge), Scripted(401))
    with pytest.raises(Unauthorized) as caught:
        script.session().exchange("x", GET, PULL)
    assert caught.value.hint == "wasmimg login r.example"
    assert all(answer.closed for answer in script.given)


def test_redirects_lose_the_credentials_and_keep_tls() -> None:
    ask = Scripted(401, {"www-authenticate": "Basic"})
    away = Scripted(307, {"location": "https://storage.example/blob?sig=SECRET"})
    script = Script(ask, away, Scripted(200))
    script.session(credential=Credential("u", "p")).exchange("x", GET, PULL)
    assert "authorization" in script.requests[1].headers
    assert "authorization" not in script.requests[2].headers
    assert script.requests[2].url == "https://storage.example/blob?sig=SECRET"


@pytest.mark.parametrize("target", ["http://r.example/x", "ftp://x/", "file:///etc/passwd"])
def test_redirects_do_not_leave_tls(target: str) -> None:
    script = Script(Scripted(302, {"location": f"{target}?sig=SECRET"}))
    with pytest.raises(RegistryError, match="not TLS") as caught:
        script.session().exchange("x", GET, PULL)
    assert "SECRET" not in caught.value.message


def test_a_challenge_from_elsewhere_gets_no_answer() -> None:
    script = Script(Scripted(401, {"www-authenticate": "Basic"}))
    request = Request("PATCH", "https://elsewhere.example/upload")
    assert script.session(credential=Credential("u", "p")).attempt(request, PULL).status == 401
    assert "authorization" not in script.requests[0].headers


def test_a_document_has_a_limit() -> None:
    script = Script(Scripted(200, body=b"12345"), Scripted(200, body=b"123456"))
    session = script.session()
    assert session.document("x", GET, PULL, 5)[1] == b"12345"
    with pytest.raises(RegistryError, match="more than 5 bytes"):
        session.document("x", GET, PULL, 5)


@pytest.mark.parametrize(
    ("host", "plain", "insecure", "url"),
    [
        ("r.example", None, (), "https://r.example/"),
        ("r.example:5000", None, ("r.example:5000",), "http://r.example:5000/"),
        ("r.example", True, (), "http://r.example/"),
        ("localhost:5000", None, (), "http://localhost:5000/"),
        ("localhost:5000", False, (), "https://localhost:5000/"),
        ("127.0.0.1", None, (), "http://127.0.0.1/"),
        ("[::1]:5000", None, (), "http://[::1]:5000/"),
        ("localhost.evil.example", None, (), "https://localhost.evil.example/"),
        ("docker.io", None, (), "https://registry-1.docker.io/"),
    ],
)
def test_which_scheme_a_host_is_called_with(
    host: str, plain: bool | None, insecure: tuple[str, ...], url: str
) -> None:
    assert base_url(host, plain_http=plain, insecure=insecure) == url


def test_loopback() -> None:
    assert is_loopback("127.8.9.1:80")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("127.0.0.1.example")


@pytest.mark.parametrize("bad", ["http://[::bad", "https://r.example:99999/x", "//[x]y/z"])
def test_a_location_that_is_no_url_is_the_registrys_fault(bad: str) -> None:
    script = Script(Scripted(307, {"location": bad}))
    with pytest.raises(RegistryError, match="is no URL"):
        script.session().attempt(Request("GET", "/v2/a/blobs/x"), PULL)
    assert script.given[0].closed
    with pytest.raises(RegistryError, match="is no URL"):
        script.session().location(Scripted(202, {"location": bad}), "/v2/a/blobs/uploads/")


def test_a_realm_that_is_no_url_is_the_registrys_fault() -> None:
    script = Script(Scripted(401, {"www-authenticate": 'Bearer realm="http://[bad"'}))
    with pytest.raises(RegistryError, match="is no URL"):
        script.session().attempt(Request("GET", "/v2/"), PULL)
    assert script.given[0].closed


def test_what_is_no_url_is_shown_without_its_secrets() -> None:
    with pytest.raises(RegistryError) as refused:
        split_url("https://user:secret@[bad/path?token=secret")
    assert "secret" not in refused.value.message
    assert "[bad/path" in refused.value.message


@pytest.mark.parametrize("host", ["[:::]", "localhost:99999"])
def test_a_registry_that_can_not_be_one(host: str) -> None:
    with pytest.raises(RegistryError):
        is_loopback(host)
