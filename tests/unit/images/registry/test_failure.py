from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import NotFound, RegistryError
from wasmimg_images.registry.failure import (
    Diagnostic,
    Refused,
    Unauthorized,
    diagnostics,
    redact,
    refusal,
)

BODY = b'{"errors":[{"code":"DENIED","message":"no\\nway"},{"code":"X"},3,{"message":"?"}]}'


def test_the_specification_s_entries_are_read_and_others_left_out() -> None:
    assert diagnostics(BODY) == (Diagnostic("DENIED", "no way"), Diagnostic("X", ""))


@given(st.binary(max_size=100))
def test_any_body_is_harmless(body: bytes) -> None:
    assert all(isinstance(found, Diagnostic) for found in diagnostics(body))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors":{}}', b"[" * 100_000])
def test_bodies_without_entries(body: bytes) -> None:
    assert diagnostics(body) == ()


@pytest.mark.parametrize(
    ("status", "kind", "words", "hint"),
    [
        (401, Unauthorized, "unauthorized", "wasmimg login r.example"),
        (403, Unauthorized, "denied", "wasmimg login r.example"),
        (404, NotFound, "not found", "check the repository's name and the tag"),
        (
            413,
            Refused,
            "answered 413",
            "the registry or a proxy before it limits the size of a request",
        ),
        (429, Refused, "answered 429", "the rate limit of r.example is reached; wait, or log in"),
        (500, Refused, "answered 500", None),
    ],
)
def test_each_status_has_its_error(
    status: int, kind: type[Exception], words: str, hint: str | None
) -> None:
    error = refusal("push of demo:1", "r.example", status, BODY)
    assert isinstance(error, kind)
    assert error.message.startswith("push of demo:1: ")
    assert words in error.message
    assert "DENIED: no way; X" in error.message
    assert error.hint == hint
    assert isinstance(error, RegistryError | NotFound)


def test_plain_http_to_a_tls_port_has_a_hint() -> None:
    body = b"Client sent an HTTP request to an HTTPS server.\n"
    assert "--tls" in (refusal("pull", "r", 400, body, plain_http=True).hint or "")
    assert refusal("pull", "r", 400, BODY, plain_http=True).hint is None
    assert refusal("pull", "r", 400, body).hint is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@h.example/v2/", "https://h.example/v2/"),
        ("https://h/x?digest=sha256:a&_state=SECRET", "https://h/x?digest=sha256:a"),
        ("https://s3/x?X-Amz-Signature=abc&X-Amz-Credential=d", "https://s3/x"),
        (
            "https://h/token?service=s&account=me&scope=repository:a:pull,push#frag",
            "https://h/token?service=s&scope=repository:a:pull,push",
        ),
    ],
)
def test_secrets_are_left_out_of_addresses(url: str, shown: str) -> None:
    assert redact(url) == shown
