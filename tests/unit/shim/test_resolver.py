from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.resolver import Address, Configuration, Failure, Resolver, Unresolved

V4, V6 = socket.AF_INET, socket.AF_INET6
NXDOMAIN, SERVFAIL = 3, 2
Zone = dict[tuple[str, int], list[str]]


class Server:
    """A name server on loopback, UDP and TCP on one port; `answer` decides."""

    def __init__(self, answer: Callable[[str, int, bool], bytes | None]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int, bool]] = []
        self.udp = socket.socket(V4, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        while True:  # a port that is free for both
            self.udp.bind(("127.0.0.1", 0))
            try:
                self.tcp.bind(self.udp.getsockname())
                break
            except OSError:
                self.udp.close()
                self.udp = socket.socket(V4, socket.SOCK_DGRAM)
        self.tcp.listen()
        self.port = self.udp.getsockname()[1]
        self.threads = [
            threading.Thread(target=target) for target in (self.serve_udp, self.serve_tcp)
        ]
        for thread in self.threads:
            thread.start()

    def reply(self, query: bytes, *, tcp: bool) -> bytes | None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from(">H", query, at + 1)[0]
        name = ".".join(labels)
        self.asked.append((name, kind, tcp))
        body = self.answer(name, kind, tcp)
        return None if body is None else query[:2] + body[:10] + query[12 : at + 5] + body[10:]

    def serve_udp(self) -> None:
        while True:
            query, peer = self.udp.recvfrom(512)
            if not query:
                return
            reply = self.reply(query, tcp=False)
            if reply is not None:
                self.udp.sendto(reply, peer)

    def serve_tcp(self) -> None:
        while True:
            connection, _ = self.tcp.accept()
            with connection:
                length = connection.recv(2)
                if not length:
                    return
                reply = self.reply(connection.recv(int.from_bytes(length, "big")), tcp=True)
                if reply is not None:
                    connection.sendall(len(reply).to_bytes(2, "big") + reply)

    def close(self) -> None:
        self.udp.sendto(b"", self.udp.getsockname())
        socket.create_connection(self.tcp.getsockname()).close()
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()


def body(records: list[bytes], rcode: int = 0, flags: int = 0x8180) -> bytes:
    """A reply's header after the identifier, and its records; the server adds the question."""
    return struct.pack(">HHHHH", flags | rcode, 1, len(records), 0, 0) + b"".join(records)


def address_records(kind: int, texts: list[str]) -> list[bytes]:
    family = V4 if kind == 1 else V6
    data = [socket.inet_pton(family, text) for text in texts]
    return [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(d)) + d for d in data]


def from_zone(zone: Zone) -> Callable[[str, int, bool], bytes | None]:
    names = {name for name, _ in zone}

    def answer(name: str, kind: int, _tcp: bool) -> bytes:
        if name not in names:
            return body([], NXDOMAIN)
        return body(address_records(kind, zone.get((name, kind), [])))

    return answer


class Container:
    """The two files of a container, and a server to answer."""

    def __init__(self, folder: Path) -> None:
        self.hosts = folder / "hosts"
        self.resolv_conf = folder / "resolv.conf"
        self.server: Server | None = None

    def serving(self, answer: Callable[[str, int, bool], bytes | None], conf: str = "") -> Resolver:
        self.server = Server(answer)
        self.resolv_conf.write_text(f"nameserver 127.0.0.1\noptions timeout:1 attempts:1\n{conf}")
        return self.resolver()

    def resolver(self) -> Resolver:
        port = self.server.port if self.server else 1
        return Resolver(str(self.hosts), str(self.resolv_conf), port)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    yield container
    if container.server:
        container.server.close()


def failure(resolver: Resolver, name: str, *families: int) -> Failure:
    with pytest.raises(Unresolved) as caught:
        resolver.lookup(name, families or (V4, V6))
    return caught.value.failure


def test_hosts_come_first_and_are_read_anew(container: Container) -> None:
    resolver = container.serving(from_zone({("db", 1): ["192.0.2.1"]}))
    container.hosts.write_text(
        "# comment\n10.0.0.1 DB db.example # more\nfe80::1 db\nnot-an-ip db\n"
    )
    assert resolver.lookup("db", (V4, V6)) == [Address(V4, "10.0.0.1"), Address(V6, "fe80::1")]
    assert resolver.lookup("db.example.", (V4,)) == [Address(V4, "10.0.0.1")]
    container.hosts.write_text("")
    assert resolver.lookup("db", (V4,)) == [Address(V4, "192.0.2.1")]


def test_localhost_needs_no_file(container: Container) -> None:
    resolver = container.resolver()
    assert resolver.lookup("localhost", (V4, V6)) == [Address(V4, "127.0.0.1"), Address(V6, "::1")]
    assert resolver.lookup("db.localhost.", (V6,)) == [Address(V6, "::1")]


def test_both_families_ipv4_first(container: Container) -> None:
    resolver = container.serving(
        from_zone({("h.x", 1): ["192.0.2.1", "192.0.2.2"], ("h.x", 28): ["::2"]})
    )
    assert [address.text for address in resolver.lookup("h.x", (V6, V4))] == [
        "192.0.2.1", "192.0.2.2", "::2",
    ]  # fmt: skip
    assert failure(resolver, "none.x") is Failure.NO_NAME


def test_a_name_without_an_address_of_the_family(container: Container) -> None:
    resolver = container.serving(from_zone({("h.x", 1): ["192.0.2.1"]}))
    assert failure(resolver, "h.x", V6) is Failure.NO_ADDRESS


def test_search_domains(container: Container) -> None:
    resolver = container.serving(
        from_zone({("db.a.test", 1): ["192.0.2.1"]}), "search b.test a.test\n"
    )
    assert resolver.lookup("db", (V4,)) == [Address(V4, "192.0.2.1")]
    assert container.server is not None
    assert [name for name, _, _ in container.server.asked] == ["db.b.test", "db.a.test"]
    assert failure(resolver, "db.", V4) is Failure.NO_NAME


def test_a_truncated_answer_is_asked_for_over_tcp(container: Container) -> None:
    many = [f"192.0.2.{number}" for number in range(1, 101)]

    def answer(_name: str, kind: int, tcp: bool) -> bytes:
        return body(address_records(kind, many)) if tcp else body([], 0, 0x8380)

    resolver = container.serving(answer)
    assert [address.text for address in resolver.lookup("big.x", (V4,))] == many


def test_servers_that_fail_or_stay_silent(container: Container) -> None:
    resolver = container.serving(lambda *_: body([], SERVFAIL))
    assert failure(resolver, "h.x") is Failure.FAILED
    assert container.server is not None
    container.server.answer = lambda *_: None
    assert failure(resolver, "h.x", V4) is Failure.TRY_AGAIN
    container.server.answer = lambda *_: b"\x81\x80" + b"\0\1\0\1\0\0\0\0" + b"\xff"
    assert failure(resolver, "h.x", V4) is Failure.TRY_AGAIN


def test_a_second_server_is_asked_when_the_first_refuses_connections(container: Container) -> None:
    resolver = container.serving(from_zone({("h.x", 1): ["192.0.2.1"]}))
    container.resolv_conf.write_text(
        "nameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1\n"
    )
    assert resolver.lookup("h.x", (V4,)) == [Address(V4, "192.0.2.1")]


def test_files_of_the_image_can_not_block(container: Container) -> None:
    os.mkfifo(container.hosts)
    container.resolv_conf.mkdir()
    assert failure(container.resolver(), "h.x", V4) is Failure.TRY_AGAIN


def test_hopeless_names(container: Container) -> None:
    resolver = container.resolver()
    assert failure(resolver, "") is Failure.NO_NAME
    assert failure(resolver, "x" * 300) is Failure.NO_NAME


def test_configuration() -> None:
    text = """
    domain old.test
    search one.test two.test.   ; comment
    nameserver 10.0.0.1
    nameserver bogus
    nameserver fe80::1%eth0
    options ndots:99 timeout:0 attempts:x use-vc
    """
    assert Configuration.parse(text) == Configuration(
        ("10.0.0.1", "fe80::1%eth0"), ("one.test", "two.test"), 15, 1, 2, tcp=True
    )
    assert Configuration.parse("") == Configuration()


@given(st.text(max_size=400))
def test_any_text_is_a_configuration(text: str) -> None:
    configuration = Configuration.parse(text)
    assert 1 <= len(configuration.servers) <= 3
    assert 1 <= configuration.timeout <= 30


def test_candidates() -> None:
    configuration = Configuration(search=("a.test", "b.test"), ndots=2)
    assert list(configuration.candidates("x")) == ["x.a.test", "x.b.test", "x"]
    assert list(configuration.candidates("x.y.z")) == ["x.y.z", "x.y.z.a.test", "x.y.z.b.test"]
    assert list(configuration.candidates("x.")) == ["x"]
