"""What the containers of a network are called, and DNS messages that say so. Pure.

Source: RFC 1035; RFC 6761 for localhost. dnspython is imported at the first question only: it
costs more than the rest of a supervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import dns.message

    from wasmimg_compose.network.network import Network

#: Seconds an answer may be kept: containers come and go.
TTL: Final = 5
HEADER: Final = 12
#: RFC 1035 4.2.1: without EDNS no more fits a datagram.
SMALLEST: Final = 512


class Table(NamedTuple):
    """Lower-case names and the addresses that they stand for."""

    addresses: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, networks: Iterable[Network], container: str) -> Table:
        """Join the names on all networks that a container is on, its own included."""
        found: dict[str, list[str]] = {}
        for network in networks:
            if network.member(container) is None:
                continue
            for member in network.members:
                for name in member.names:
                    for form in {name.lower(), f"{name}.{network.name}".lower()}:
                        found.setdefault(form, []).append(member.address)
        return cls({name: tuple(dict.fromkeys(value)) for name, value in found.items()})


def answer(question: bytes, table: Table) -> bytes | None:
    """Answer a question about our names; None where others are to be asked.

    A name without a dot that nobody here has does not exist: asking the internet for it is slow at
    best.
    """
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rdatatype
    import dns.rrset

    query = _read(question)
    if query is None or len(query.question) != 1:
        return failure(question)
    asked = query.question[0]
    name = asked.name.to_text(omit_final_dot=True).lower()
    found = table.addresses.get(name)
    if found is None and ("." in name or not name):
        return None
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.AA
    if found is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif asked.rdtype in {dns.rdatatype.A, dns.rdatatype.ANY}:
        response.answer.append(dns.rrset.from_text(asked.name, TTL, "IN", "A", *found))
    return response.to_wire()


def failure(question: bytes) -> bytes:
    """Answer that it could not be found out (SERVFAIL), or that it is no question (FORMERR)."""
    import dns.message
    import dns.rcode

    query = _read(question)
    if query is None:
        identity = question[:2].ljust(2, b"\0")
        return identity + b"\x80\x01" + bytes(HEADER - 4)
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()


def belongs(question: bytes, answer_: bytes) -> bool:
    """Tell whether a packet is the answer to a question: same number, and an answer at all."""
    return len(answer_) >= HEADER and answer_[:2] == question[:2] and bool(answer_[2] & 0x80)


def shortened(question: bytes, answer_: bytes) -> bytes:
    """Fit an answer into a datagram: what is too long becomes "ask again over TCP"."""
    if len(answer_) <= SMALLEST:
        return answer_
    query = _read(question)
    if query is None or len(answer_) <= max(SMALLEST, query.payload):
        return answer_
    import dns.flags
    import dns.message

    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.TC
    return response.to_wire()


def _read(question: bytes) -> dns.message.Message | None:
    import dns.exception
    import dns.message

    try:
        return dns.message.from_wire(question)
    except dns.exception.DNSException:
        return None
