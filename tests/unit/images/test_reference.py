from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wasmimg_images.digest import Digest
from wasmimg_images.errors import InvalidInput
from wasmimg_images.reference import Reference

DIGEST = str(Digest.of(b""))


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("demo", "docker.io/library/demo:latest", "demo:latest"),
        ("demo:1", "docker.io/library/demo:1", "demo:1"),
        ("me/demo", "docker.io/me/demo:latest", "me/demo:latest"),
        ("docker.io/demo", "docker.io/library/demo:latest", "demo:latest"),
        ("index.docker.io/me/demo", "docker.io/me/demo:latest", "me/demo:latest"),
        ("localhost/demo", "localhost/demo:latest", "localhost/demo:latest"),
        ("localhost:5000/a/b:x", "localhost:5000/a/b:x", "localhost:5000/a/b:x"),
        ("[::1]:5000/demo", "[::1]:5000/demo:latest", "[::1]:5000/demo:latest"),
        ("GHCR.io/a/b", "GHCR.io/a/b:latest", "GHCR.io/a/b:latest"),
        (f"demo@{DIGEST}", f"docker.io/library/demo@{DIGEST}", f"demo@{DIGEST}"),
        (f"r.io/a:1@{DIGEST}", f"r.io/a:1@{DIGEST}", f"r.io/a:1@{DIGEST}"),
        ("a--b/c__d.e", "docker.io/a--b/c__d.e:latest", "a--b/c__d.e:latest"),
    ],
)
def test_names_mean_what_docker_takes_them_to_mean(
    text: str, canonical: str, familiar: str
) -> None:
    reference = Reference.parse(text)
    assert str(reference) == canonical
    assert reference.familiar() == familiar
    assert Reference.parse(canonical) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "demo:", "demo:-x", f"demo:{'t' * 129}", "a//b", "/a", "a/", "a..b", "a._b"),
        *("-a", "demo@", "demo@sha256:abc", "demo@@x", "a b", "dé", "a" * 256, "f" * 64),
        *("r.io:port/a", "demo\n", "../x", "x.io/../y", "r.io/a?b"),
    ],
)
def test_malformed_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Reference.parse(text)


def test_upper_case_gets_a_hint() -> None:
    with pytest.raises(InvalidInput) as caught:
        Reference.parse("me/Demo:1")
    assert "me/demo:1" in str(caught.value.hint)


words = st.from_regex(r"\A[a-z0-9]+(?:(?:\.|_|__|-{1,3})[a-z0-9]+){0,2}\Z")
hosts = st.from_regex(r"\A[a-zA-Z0-9]+(\.[a-z0-9]+){1,3}(:[0-9]{1,5})?\Z")
tags = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z")


@given(
    st.none() | hosts,
    st.lists(words, min_size=1, max_size=4),
    st.none() | tags,
    st.booleans(),
)
def test_what_the_grammar_makes_round_trips(
    host: str | None, path: list[str], tag: str | None, by_digest: bool
) -> None:
    assume(host or len(path) == 1 or ("." not in path[0] and path[0] != "localhost"))
    assume(host or not re.fullmatch("[0-9a-f]{64}", path[0]))
    repository = "/".join(path)
    name = f"{host}/{repository}" if host else repository
    text = name + (f":{tag}" if tag else "") + (f"@{DIGEST}" if by_digest else "")
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar()) == reference
    assert reference.tag or reference.digest


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_invalid_input(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidInput:
        return
    assert Reference.parse(str(reference)) == reference
    assert not any(c.isspace() for c in text)
