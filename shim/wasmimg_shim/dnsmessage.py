"""DNS messages as a stub resolver needs them (RFC 1035): one question, its addresses.

Sans I/O. A message from the network that breaks any rule used here is Malformed, never partly
believed.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LARGEST_DATAGRAM", "Answer", "Malformed", "Query", "Rcode", "parse"]

#: RFC 1035 4.2.1: without EDNS a server sends no more
LARGEST_DATAGRAM = 512
_HEADER = struct.Struct(">HHHHHH")
_QUESTION = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x0200, 0x0100
_RCODE = 0x000F
_A, _CNAME, _AAAA, _INTERNET = 1, 5, 28, 1
_TYPES: dict[int, int] = {socket.AF_INET: _A, socket.AF_INET6: _AAAA}
_ADDRESSES = {_A: (socket.AF_INET, 4), _AAAA: (socket.AF_INET6, 16)}
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
_POINTER = 0xC0
_MOST_POINTERS = 64
_MOST_ALIASES = 16


class Malformed(Exception):
    """The message breaks a rule of the protocol, or the name can't be asked for."""


class Rcode:
    """RFC 1035 4.1.1."""

    NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


class Answer(NamedTuple):
    """What a server said to one query."""

    rcode: int
    truncated: bool
    addresses: tuple[tuple[int, str], ...]


class Query(NamedTuple):
    """A question with the identifier that its answer must bear."""

    identifier: int
    name: bytes
    kind: int

    @classmethod
    def of(cls, name: str, family: int) -> Query:
        """Ask for the addresses of one family; Malformed for what is no domain name."""
        return cls(int.from_bytes(os.urandom(2), "big"), _wire_name(name), _TYPES[family])

    def packed(self) -> bytes:
        """The message."""
        header = _HEADER.pack(self.identifier, _RECURSION_DESIRED, 1, 0, 0, 0)
        return header + self.name + _QUESTION.pack(self.kind, _INTERNET)

    def is_answered_by(self, message: bytes) -> bool:
        """Whether identifier and question are ours."""
        if len(message) < _HEADER.size:
            return False
        identifier, flags, questions, *_ = _HEADER.unpack_from(message)
        if identifier != self.identifier or not flags & _RESPONSE or questions != 1:
            return False
        try:
            name, at = _read_name(message, _HEADER.size)
            return name == self.name.lower() and _QUESTION.unpack_from(message, at) == (
                self.kind,
                _INTERNET,
            )
        except (Malformed, struct.error):
            return False


class _Record(NamedTuple):
    owner: bytes
    kind: int
    at: int
    length: int


def parse(message: bytes, query: Query) -> Answer:
    """Read the answer to `query`, following its aliases (CNAME) within the message."""
    _, flags, _, count, *_ = _HEADER.unpack_from(message)
    truncated = bool(flags & _TRUNCATED)
    if truncated:
        return Answer(flags & _RCODE, truncated, ())
    try:
        records = list(_records(message, query, count))
        owners = {query.name.lower()}
        for _ in range(_MOST_ALIASES):
            aliases = {
                _read_name(message, record.at)[0]
                for record in records
                if record.kind == _CNAME and record.owner in owners
            }
            if aliases <= owners:
                break
            owners |= aliases
    except (struct.error, IndexError) as error:
        raise Malformed("the message is cut short") from error
    addresses = tuple(
        _address(message, record)
        for record in records
        if record.kind == query.kind and record.owner in owners
    )
    return Answer(flags & _RCODE, truncated, addresses)


def _records(message: bytes, query: Query, count: int) -> Iterator[_Record]:
    at = _HEADER.size + len(query.name) + _QUESTION.size
    for _ in range(count):
        owner, at = _read_name(message, at)
        kind, network, _, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        if at + length > len(message):
            raise Malformed("a record is longer than its message")
        if network == _INTERNET:
            yield _Record(owner, kind, at, length)
        at += length


def _address(message: bytes, record: _Record) -> tuple[int, str]:
    family, length = _ADDRESSES[record.kind]
    if record.length != length:
        raise Malformed("an address has the wrong length")
    return family, socket.inet_ntop(family, message[record.at : record.at + length])


def _wire_name(name: str) -> bytes:
    """Labels with their lengths; ASCII only (a guest encodes international names itself)."""
    labels = name.removesuffix(".").split(".")
    if not name.isascii() or not all(1 <= len(label) <= _LONGEST_LABEL for label in labels):
        raise Malformed(f"{name!r} is no domain name")
    wire = b"".join(bytes((len(label),)) + label.encode() for label in labels) + b"\0"
    if len(wire) > _LONGEST_NAME:
        raise Malformed(f"{name!r} is longer than a domain name may be")
    return wire


def _read_name(message: bytes, at: int) -> tuple[bytes, int]:
    """A name in lower case without compression, and where the message goes on after it."""
    labels: list[bytes] = []
    end = None
    pointers = 0
    while length := message[at]:
        if length >= _POINTER:
            pointers += 1
            if pointers > _MOST_POINTERS:
                raise Malformed("a name never ends")
            end = at + 2 if end is None else end
            at = (length & ~_POINTER) << 8 | message[at + 1]
            continue
        if length > _LONGEST_LABEL or at + 1 + length > len(message):
            raise Malformed("a label is too long")
        labels.append(message[at : at + 1 + length].lower())
        at += 1 + length
    return b"".join([*labels, b"\0"]), at + 1 if end is None else end
