from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.dnsmessage import Answer, Malformed, Query, Rcode, parse

A, CNAME, AAAA = 1, 5, 28
LABEL = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)


def record(owner: bytes, kind: int, data: bytes, network: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, network, 60, len(data)) + data


def message(query: Query, *records: bytes, rcode: int = 0, flags: int = 0x8180) -> bytes:
    header = struct.pack(">HHHHHH", query.identifier, flags | rcode, 1, len(records), 0, 0)
    return header + query.packed()[12:] + b"".join(records)


POINTER_TO_QUESTION = b"\xc0\x0c"


@given(NAME)
def test_an_answer_to_any_question_is_understood(name: str) -> None:
    query = Query.of(name, socket.AF_INET)
    reply = message(query, record(POINTER_TO_QUESTION, A, bytes((192, 0, 2, 7))))
    assert query.is_answered_by(reply)
    assert parse(reply, query) == Answer(0, False, ((socket.AF_INET, "192.0.2.7"),))


def test_aliases_are_followed_and_strangers_are_not() -> None:
    query = Query.of("www.example.org", socket.AF_INET6)
    alias = b"\3cdn\7example\3net\0"
    reply = message(
        query,
        record(alias, AAAA, socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
        record(POINTER_TO_QUESTION, CNAME, alias),
        record(b"\5other\0", AAAA, bytes(16)),
        record(POINTER_TO_QUESTION, A, bytes(4)),
        record(POINTER_TO_QUESTION, AAAA, bytes(16), network=3),
    )
    assert parse(reply, query).addresses == ((socket.AF_INET6, "2001:db8::1"),)


def test_names_are_compared_without_case() -> None:
    query = Query.of("DB.Example", socket.AF_INET)
    reply = message(Query(query.identifier, b"\2db\7eXAMPLE\0", A))
    assert query.is_answered_by(reply)


def test_answers_to_other_questions_are_not_ours() -> None:
    query = Query.of("db", socket.AF_INET)
    assert not query.is_answered_by(message(query._replace(identifier=query.identifier ^ 1)))
    assert not query.is_answered_by(message(query._replace(kind=AAAA)))
    assert not query.is_answered_by(message(query._replace(name=b"\2dc\0")))
    assert not query.is_answered_by(query.packed())  # our own question back
    assert not query.is_answered_by(b"")


def test_what_servers_say() -> None:
    query = Query.of("db", socket.AF_INET)
    assert parse(message(query, rcode=Rcode.NXDOMAIN), query) == Answer(3, False, ())
    truncated = message(query, flags=0x8380)
    assert parse(truncated, query).truncated


@pytest.mark.parametrize(
    "records",
    [
        [b"\xc0"],
        [b"\xc0\xff"],
        [record(b"\xc0\x11", CNAME, b"\xc0\x11")],  # a name that points at itself
        [record(POINTER_TO_QUESTION, A, b"\1\2\3")],
        [struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 400)],
        [b"\x7f" + bytes(40)],
    ],
)
def test_malformed_messages(records: list[bytes]) -> None:
    query = Query.of("db", socket.AF_INET)
    with pytest.raises(Malformed):
        parse(message(query, *records), query)


@given(st.binary(max_size=120))
def test_any_bytes_are_an_answer_or_malformed(noise: bytes) -> None:
    query = Query.of("db", socket.AF_INET)
    reply = message(query, noise)
    query.is_answered_by(noise)
    with contextlib.suppress(Malformed):
        assert parse(reply, query).rcode == 0


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "ü.example", ".".join(["abc"] * 70)])
def test_no_domain_names(name: str) -> None:
    with pytest.raises(Malformed):
        Query.of(name, socket.AF_INET)
