"""The responder on real sockets: own names answered, others passed on, nothing lost or invented."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import dns.message
import dns.rcode
import dns.rrset
import pytest

from wasmimg_compose.loop import Loop
from wasmimg_compose.network.network import Member, Network
from wasmimg_compose.network.networks import Networks
from wasmimg_compose.responder import Responder

if TYPE_CHECKING:
    from wasmimg_images.home import Home

NETWORK = Network("n", "b", "10.0.0.0/24", members=(Member("c", "10.0.0.2", "v", ("web",)),))


class Upstream:
    """A name server that gives 192.0.2.7 for everything, or nothing at all."""

    def __init__(self, *, silent: bool = False) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.asked = 0
        self._silent = silent
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            question, sender = self.socket.recvfrom(4096)
            if not question:
                return
            self.asked += 1
            if self._silent:
                continue
            query = dns.message.from_wire(question)
            answer = dns.message.make_response(query)
            name = query.question[0].name
            answer.answer.append(dns.rrset.from_text(name, 9, "IN", "A", "192.0.2.7"))
            # First a forged packet, which must not be believed.
            self.socket.sendto(b"\xff\xff" + answer.to_wire()[2:], sender)
            self.socket.sendto(answer.to_wire(), sender)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self.socket.close()


class Running:
    """A responder with the loop that drives it."""

    def __init__(self, home: Home, port: int, servers: list[str]) -> None:
        networks = Networks.of(home)
        networks.root.mkdir(parents=True)
        networks._save(NETWORK)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        for each in (self.udp, self.tcp):
            each.bind(("127.0.0.1", 0))
        self.tcp.listen()
        self.loop, self.failures = Loop(), list[Exception]()
        share = self.loop.share(self.failures.append)
        self.responder = Responder(home, "c", (self.udp, self.tcp), share, lambda: servers, port)

    def turn_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.loop.turn(0.05)
            assert not self.failures

    def ask(self, name: str) -> dns.message.Message:
        answers = list[bytes]()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0)
            client.connect(self.udp.getsockname())
            client.send(dns.message.make_query(name, "A").to_wire())

            def answered() -> bool:
                try:
                    answers.append(client.recv(4096))
                except BlockingIOError:
                    return False
                return True

            self.turn_until(answered)
        return dns.message.from_wire(answers[0])

    def close(self) -> None:
        self.responder.close()
        assert not self.loop.selector.get_map()
        assert not self.loop.has_alarms
        for each in (self.udp, self.tcp, self.loop):
            each.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def running(home: Home, upstream: Upstream) -> Iterator[Running]:
    made = Running(home, upstream.port, ["127.0.0.1"])
    yield made
    made.close()


def addresses(message: dns.message.Message) -> list[str]:
    return [record.to_text() for group in message.answer for record in group]


def test_own_names_are_not_passed_on(running: Running, upstream: Upstream) -> None:
    assert addresses(running.ask("web")) == ["10.0.0.2"]
    assert running.ask("nobody").rcode() == dns.rcode.NXDOMAIN
    assert upstream.asked == 0


def test_others_names_are(running: Running, upstream: Upstream) -> None:
    assert addresses(running.ask("example.com")) == ["192.0.2.7"]
    assert upstream.asked == 1


def test_questions_over_tcp_in_pieces_and_in_a_row(running: Running) -> None:
    with socket.create_connection(running.tcp.getsockname()) as client:
        client.settimeout(0)
        for name in ("web", "example.com"):
            question = dns.message.make_query(name, "A").to_wire()
            framed = len(question).to_bytes(2, "big") + question
            client.sendall(framed[:5])
            running.turn_until(lambda: bool(running.responder._under_way))
            client.sendall(framed[5:])
        received = bytearray()

        def complete() -> bool:
            try:
                received.extend(client.recv(4096))
            except BlockingIOError:
                return False
            first = int.from_bytes(received[:2], "big") + 2
            second = int.from_bytes(received[first : first + 2], "big") + 2
            return len(received) > first and len(received) >= first + second

        running.turn_until(complete)
    first = int.from_bytes(received[:2], "big") + 2
    assert addresses(dns.message.from_wire(bytes(received[2:first]))) == ["10.0.0.2"]
    assert addresses(dns.message.from_wire(bytes(received[first + 2 :]))) == ["192.0.2.7"]
    running.turn_until(lambda: not running.responder._under_way)


def test_the_next_server_is_asked_when_one_is_not_there(home: Home, upstream: Upstream) -> None:
    running = Running(home, upstream.port, ["127.0.0.9", "127.0.0.1"])
    assert addresses(running.ask("example.com")) == ["192.0.2.7"]
    running.close()


def test_without_servers_the_failure_is_told(home: Home) -> None:
    running = Running(home, 53, [])
    assert running.ask("example.com").rcode() == dns.rcode.SERVFAIL
    running.close()


def test_a_silent_server_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmimg_compose.responder.PATIENCE", 0.05)
    silent = Upstream(silent=True)
    running = Running(home, silent.port, ["127.0.0.1"])
    assert running.ask("example.com").rcode() == dns.rcode.SERVFAIL
    running.close()
    silent.close()


def test_closing_drops_what_is_under_way(home: Home) -> None:
    silent = Upstream(silent=True)
    running = Running(home, silent.port, ["127.0.0.1"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(
            dns.message.make_query("example.com", "A").to_wire(), running.udp.getsockname()
        )
        running.turn_until(lambda: silent.asked == 1)
    running.close()
    silent.close()
