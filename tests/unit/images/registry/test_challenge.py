from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import RegistryError
from wasmimg_images.registry.challenge import Challenge, choose, parse

TOKEN = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~", min_size=1
)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126))
CHALLENGE = st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), VALUE, max_size=4))

CASES = [
    ("", []),
    (" , ,", []),
    ("Basic", [Challenge("basic", {})]),
    ('Basic realm="simple"', [Challenge("basic", {"realm": "simple"})]),
    ("Basic REALM=token", [Challenge("basic", {"realm": "token"})]),
    ('Basic realm="a \\"b\\", c\\\\"', [Challenge("basic", {"realm": 'a "b", c\\'})]),
    (
        'Basic realm = "spaced" , charset=UTF-8',
        [Challenge("basic", {"realm": "spaced", "charset": "UTF-8"})],
    ),
    (
        "Negotiate YIIabc==, Basic realm=x",
        [Challenge("negotiate", {}, "YIIabc=="), Challenge("basic", {"realm": "x"})],
    ),
    ("Negotiate, Basic realm=x", [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})]),
    (
        'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
        [
            Challenge("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
            Challenge("basic", {"realm": "simple"}),
        ],
    ),
    (
        'Bearer realm="https://a.example/t?x=1",service="r",scope="repository:a/b:pull,push"',
        [
            Challenge(
                "bearer",
                {
                    "realm": "https://a.example/t?x=1",
                    "service": "r",
                    "scope": "repository:a/b:pull,push",
                },
            )
        ],
    ),
    ("Basic realm=a, realm=b", [Challenge("basic", {"realm": "a"})]),
]


@pytest.mark.parametrize(("header", "expected"), CASES)
def test_examples(header: str, expected: list[Challenge]) -> None:
    assert list(parse(header)) == expected


@pytest.mark.parametrize("header", ['"', 'Basic realm="open', "=x", "Bearer realm=a b", "Bäsic x"])
def test_what_is_no_list_of_challenges(header: str) -> None:
    with pytest.raises(RegistryError, match="malformed WWW-Authenticate header at character"):
        parse(header)


@given(st.lists(CHALLENGE, max_size=3))
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quote(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} {', '.join(f'{n}={quote(v)}' for n, v in parameters.items())}".strip()
        for scheme, parameters in challenges
    )
    assert list(parse(header)) == [Challenge(s.lower(), p) for s, p in challenges]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(header: str) -> None:
    try:
        found = parse(header)
    except RegistryError:
        return
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in found)


def test_bearer_is_preferred_where_it_names_a_realm() -> None:
    basic, bearer = Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "https://t"})
    assert choose([basic, bearer]) == bearer
    assert choose([Challenge("bearer", {}), basic]) == basic
    assert choose([Challenge("digest", {})]) is None
    assert choose([]) is None
