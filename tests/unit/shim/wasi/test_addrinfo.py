from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from wasmimg_shim.resolver import Address, Failure, Unresolved
from wasmimg_shim.wasi import addrinfo, errno
from wasmimg_testing.wasi import Stage

PASSIVE, CANONNAME, NUMERICHOST, NUMERICSERV = 1, 2, 4, 8
V4, V6 = socket.AF_INET, socket.AF_INET6


class Names:
    """A resolver with a fixed table."""

    def __init__(self, table: dict[str, list[Address] | Failure]) -> None:
        self.table = table

    def lookup(self, name: str, families: list[int]) -> list[Address]:
        found = self.table.get(name, Failure.NO_NAME)
        if isinstance(found, Failure):
            raise Unresolved(name, found)
        return [address for address in found if address.family in families]


TABLE: dict[str, list[Address] | Failure] = {
    "db": [Address(V4, "10.0.0.1"), Address(V6, "2001:db8::1"), Address(V4, "10.0.0.2")],
    "slow": Failure.TRY_AGAIN,
    "broken": Failure.FAILED,
    "v6only": Failure.NO_ADDRESS,
}


class Result(NamedTuple):
    family: int
    kind: int
    protocol: int
    length: int
    sockaddr_family: int
    data: bytes
    canonical: bytes


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    group = stage.world._functions["sock_getaddrinfo"][0].call.__self__  # type: ignore[attr-defined] # a bound method has it
    group._resolver = Names(TABLE)
    return stage


def chain(stage: Stage, most: int) -> list[int]:
    """The guest's list: each element with a sockaddr, 26 bytes of data and a name of 16."""
    elements = [stage.room(32) for _ in range(most)]
    for element, following in zip(elements, [*elements[1:], 0][:most], strict=True):
        sockaddr = stage.put(struct.pack("<I4xI", 0, stage.room(32)))
        name = stage.room(16)
        struct.pack_into(
            "<HBBB3xIIIII", stage.memory, element, 0, 0, 0, 0, 0, sockaddr, name, 16, following
        )
    return elements


def lookup(
    stage: Stage, node: str, service: str = "", most: int = 8, hints: tuple[int, ...] = (0, 0, 2, 1)
) -> int | list[Result]:
    elements = chain(stage, most)
    first, count = stage.put(struct.pack("<I", elements[0] if elements else 0)), stage.room()
    hint = stage.put(struct.pack("<HBBB", *hints).ljust(28, b"\0"))
    number = stage.call(
        "sock_getaddrinfo", *stage.path(node), *stage.path(service), hint, first, most, count
    )
    if number:
        return number
    return [result(stage, element) for element in elements[: stage.u32(count)]]


def result(stage: Stage, element: int) -> Result:
    _, family, kind, protocol, length, sockaddr, name, size, _ = struct.unpack_from(
        "<HBBB3xIIIII", stage.memory, element
    )
    data_length, data = stage.u32(sockaddr + 4), stage.u32(sockaddr + 8)
    return Result(
        family,
        kind,
        protocol,
        length,
        stage.memory[sockaddr],
        bytes(stage.memory[data : data + data_length]),
        bytes(stage.memory[name : name + size]).rstrip(b"\0"),
    )


def test_addresses_of_both_families(stage: Stage) -> None:
    found = lookup(stage, "db", "3306")
    assert isinstance(found, list)
    port = (3306).to_bytes(2, "big")
    assert found == [
        Result(1, 2, 1, 16, 1, port + bytes((10, 0, 0, 1)) + bytes(8), b""),
        Result(
            2, 2, 1, 28, 2, port + bytes(4) + socket.inet_pton(V6, "2001:db8::1") + bytes(4), b""
        ),
        Result(1, 2, 1, 16, 1, port + bytes((10, 0, 0, 2)) + bytes(8), b""),
    ]


def test_no_more_than_the_guest_has_room_for(stage: Stage) -> None:
    found = lookup(stage, "db", most=1)
    assert isinstance(found, list)
    assert len(found) == 1
    assert lookup(stage, "db", most=0) == errno.AIMEMORY


def test_trailing_nul_bytes_belong_to_no_name(stage: Stage) -> None:
    found = lookup(stage, "db\0", "0\0", hints=(0, 1, 1, 2))
    assert isinstance(found, list)
    assert [(entry.family, entry.kind, entry.protocol) for entry in found] == [(1, 1, 2)] * 2


def test_any_kind_of_socket_gives_each(stage: Stage) -> None:
    found = lookup(stage, "192.0.2.1", "80", hints=(0, 0, 0, 0))
    assert isinstance(found, list)
    assert [(entry.kind, entry.protocol) for entry in found] == [(2, 1), (1, 2)]


def test_the_canonical_name(stage: Stage) -> None:
    found = lookup(stage, "db", hints=(CANONNAME, 1, 2, 1))
    assert isinstance(found, list)
    assert [entry.canonical for entry in found] == [b"db", b""]


def test_no_node(stage: Stage) -> None:
    for flags, expected in ((PASSIVE, "0.0.0.0"), (0, "127.0.0.1")):
        found = lookup(stage, "", "80", hints=(flags, 1, 2, 1))
        assert isinstance(found, list)
        assert found[0].data == b"\0\x50" + socket.inet_aton(expected) + bytes(8)


@pytest.mark.parametrize(
    ("node", "service", "hints", "expected"),
    [
        ("", "", (0, 0, 2, 1), errno.AINONAME),
        ("none", "", (0, 0, 2, 1), errno.AINONAME),
        ("slow", "", (0, 0, 2, 1), errno.AIAGAIN),
        ("broken", "", (0, 0, 2, 1), errno.AIFAIL),
        ("v6only", "", (0, 1, 2, 1), errno.AINODATA),
        ("db", "", (NUMERICHOST, 0, 2, 1), errno.AINONAME),
        ("::1", "", (0, 1, 2, 1), errno.AIADDRFAMILY),
        ("db", "", (0x80, 0, 2, 1), errno.AIBADFLAG),
        ("db", "", (0, 3, 2, 1), errno.AIFAMILY),
        ("db", "", (0, 0, 3, 1), errno.AISOCKTYPE),
        ("db", "", (0, 0, 2, 2), errno.AISOCKTYPE),
        ("db", "no-such-service", (0, 0, 2, 1), errno.AISERVICE),
        ("db", "70000", (0, 0, 2, 1), errno.AISERVICE),
        ("db", "http", (NUMERICSERV, 0, 2, 1), errno.AISERVICE),
    ],
)
def test_why_there_is_no_address(
    stage: Stage, node: str, service: str, hints: tuple[int, ...], expected: int
) -> None:
    assert lookup(stage, node, service, hints=hints) == expected


def test_a_list_that_is_not_there(stage: Stage) -> None:
    wild = stage.put(struct.pack("<I", 0xFFFF_FFF0))
    arguments = (*stage.path("db"), *stage.path(""), stage.room(32), wild, 4, stage.room())
    assert stage.call("sock_getaddrinfo", *arguments) == errno.FAULT


def test_a_services_file_with_a_port_that_is_none(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services").write_text(f"web ²/tcp\nweb {'9' * 5000}/tcp\nsql 3306/tcp\n")
    monkeypatch.setattr(addrinfo, "_SERVICES", str(tmp_path / "services"))
    found = lookup(stage, "192.0.2.1", "sql")
    assert isinstance(found, list)
    assert found[0].data[:2] == (3306).to_bytes(2, "big")
    assert isinstance(lookup(stage, "192.0.2.1", "web"), list)
