"""Name questions answered from the networks' records."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose import names
from wasmimg_compose.network.network import Member, Network

TABLE = names.Table.of(
    [
        Network(
            "front",
            "b1",
            "10.0.0.0/24",
            members=(
                Member("web", "10.0.0.2", "v1", ("web", "www")),
                Member("api1", "10.0.0.3", "v2", ("api", "api-1")),
                Member("api2", "10.0.0.4", "v3", ("api", "api-2")),
            ),
        ),
        Network("back", "b2", "10.0.1.0/24", members=(Member("db", "10.0.1.2", "v4", ("db",)),)),
    ],
    "web",
)


def ask(name: str, kind: str = "A") -> dns.message.Message | None:
    answer = names.answer(dns.message.make_query(name, kind).to_wire(), TABLE)
    return None if answer is None else dns.message.from_wire(answer)


def addresses(message: dns.message.Message | None) -> list[str]:
    assert message is not None
    return [record.to_text() for group in message.answer for record in group]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("web", ["10.0.0.2"]),
        ("WWW", ["10.0.0.2"]),
        ("api", ["10.0.0.3", "10.0.0.4"]),
        ("api-2.front", ["10.0.0.4"]),
    ],
)
def test_names_of_shared_networks_are_answered(name: str, found: list[str]) -> None:
    assert sorted(addresses(ask(name))) == found


def test_a_name_of_another_network_does_not_exist() -> None:
    response = ask("db")
    assert response is not None
    assert response.rcode() == dns.rcode.NXDOMAIN


def test_there_are_no_ipv6_addresses_but_the_name_exists() -> None:
    response = ask("web", "AAAA")
    assert response is not None
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer


def test_others_are_asked_for_names_with_dots() -> None:
    assert ask("example.com") is None


def test_what_is_no_question_gets_an_error() -> None:
    assert names.answer(b"\x12\x34junk", TABLE) == b"\x12\x34\x80\x01" + bytes(8)


@given(st.binary(max_size=64))
def test_no_packet_breaks_the_responder(packet: bytes) -> None:
    answer = names.answer(packet, TABLE)
    assert answer is None or len(answer) >= names.HEADER
    assert len(names.failure(packet)) >= names.HEADER
    assert isinstance(names.shortened(packet, bytes(600)), bytes)


def test_long_answers_are_cut_for_datagrams() -> None:
    plain = dns.message.make_query("example.com", "TXT")
    roomy = dns.message.make_query("example.com", "TXT", use_edns=0, payload=4096)
    cut = dns.message.from_wire(names.shortened(plain.to_wire(), bytes(600)))
    assert cut.flags & dns.flags.TC
    assert names.shortened(roomy.to_wire(), bytes(600)) == bytes(600)
    assert names.shortened(plain.to_wire(), b"short") == b"short"


def test_only_an_answer_to_the_question_is_believed() -> None:
    question = dns.message.make_query("example.com", "A")
    answer = dns.message.make_response(question).to_wire()
    assert names.belongs(question.to_wire(), answer)
    assert not names.belongs(question.to_wire(), question.to_wire())
    assert not names.belongs(b"\0\0" + question.to_wire()[2:], b"\1\1" + answer[2:])
