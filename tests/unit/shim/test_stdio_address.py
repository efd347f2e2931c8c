from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.stdio_address import Address, Scheme, parse

paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map("/".__add__)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", Address()),
        ("/run/containerd/fifo/1/init-stdout", Address(path="/run/containerd/fifo/1/init-stdout")),
        ("/100%25/a://b?c#d", Address(path="/100%25/a://b?c#d")),
        ("out.log", Address(path="out.log")),
        ("fifo:///run/f", Address(Scheme.PATH, "/run/f")),
        ("file:///var/log/x.log", Address(Scheme.FILE, "/var/log/x.log")),
        ("file:///var/a%20b?maxsize=1#x", Address(Scheme.FILE, "/var/a b", ("maxsize", "1"))),
        ("file:/var/log/x", Address(Scheme.FILE, "/var/log/x")),
        ("file://localhost/x", Address(Scheme.FILE, "/x")),
        ("FILE:///x", Address(Scheme.FILE, "/x")),
        ("binary:///bin/l", Address(Scheme.BINARY, "/bin/l")),
        ("binary:////bin/l", Address(Scheme.BINARY, "//bin/l")),
        (
            "binary:///bin/l?--driver=a+b&--x=%26&flag&--driver=second",
            Address(Scheme.BINARY, "/bin/l", ("--driver", "a b", "--x", "&", "flag", "")),
        ),
        ("binary-v2:///bin/l?k=v", Address(Scheme.BINARY_V2, "/bin/l", ("k", "v"))),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "weird:///x",
        "file://",
        "file://var/log",
        "binary:",
        "binary:x",
        "binary://[/x",
        "file:///%00",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        parse(text)
    except InvalidInput:
        assert ":" in text


@given(paths, st.dictionaries(names, names))
def test_paths_and_arguments_come_back(path: str, pairs: dict[str, str]) -> None:
    address = parse(f"binary://{quote(path)}?{urlencode(pairs)}")
    assert address.path == path
    assert address.arguments == tuple(word for pair in pairs.items() for word in pair)
