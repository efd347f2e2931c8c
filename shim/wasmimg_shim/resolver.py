"""Names to addresses as a container's files say: /etc/hosts, /etc/resolv.conf, then DNS.

Written here because libc's resolver loads code that the image names (nsswitch.conf, libnss_*.so).
Every file is read anew for each name, since container engines change them under a running
container; what they hold is the image's and may be anything, so it is bounded and never trusted.
"""

from __future__ import annotations

import enum
import os
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_shim import dnsmessage
from wasmimg_shim.dnsmessage import Answer, Malformed, Rcode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Address", "Configuration", "Failure", "Resolver", "Unresolved"]

LARGEST_FILE = 1 << 20
DNS_PORT = 53
MOST_SERVERS, MOST_DOMAINS = 3, 32
LONGEST_NAME = 253


class Address(NamedTuple):
    """An address of AF_INET or AF_INET6, in text."""

    family: int
    text: str


class Failure(enum.Enum):
    """Why a name has no address."""

    NO_NAME = "no such name"
    NO_ADDRESS = "the name has no address of this family"
    TRY_AGAIN = "no name server answered"
    FAILED = "the name servers refuse or fail"


class Unresolved(Exception):
    """The name has no address, for this reason."""

    def __init__(self, name: str, failure: Failure) -> None:
        super().__init__(f"{name}: {failure.value}")
        self.failure = failure


class Configuration(NamedTuple):
    """resolv.conf(5), the part that matters to a stub resolver."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: float = 5
    attempts: int = 2
    tcp: bool = False

    @classmethod
    def parse(cls, text: str) -> Configuration:
        """Read resolv.conf; what can't be understood is passed over, as libc does."""
        servers: list[str] = []
        search: tuple[str, ...] = ()
        options: dict[str, str] = {}
        for line in text.splitlines():
            match line.split("#")[0].split(";")[0].split():
                case ["nameserver", server, *_] if _family(server):
                    servers.append(server)
                case ["search" | "domain", *domains]:
                    search = tuple(domain.rstrip(".") for domain in domains[:MOST_DOMAINS])
                case ["options", *given]:
                    options.update(_option(option) for option in given)
                case _:
                    pass
        return cls(
            tuple(servers[:MOST_SERVERS]) or cls().servers,
            search,
            _bounded(options.get("ndots"), 1, 15, at_least=0),
            _bounded(options.get("timeout"), 5, 30),
            _bounded(options.get("attempts"), 2, 5),
            tcp="use-vc" in options,
        )

    def candidates(self, name: str) -> Iterator[str]:
        """The absolute names to ask for, in order (resolv.conf(5), ndots)."""
        if name.endswith("."):
            yield name[:-1]
            return
        searched = [f"{name}.{domain}" for domain in self.search if domain]
        yield from ([name, *searched] if name.count(".") >= self.ndots else [*searched, name])


class Resolver:
    """Looks names up; without state but for the paths of its files and the servers' port."""

    def __init__(
        self,
        hosts: str = "/etc/hosts",
        resolv_conf: str = "/etc/resolv.conf",
        port: int = DNS_PORT,
    ) -> None:
        self._hosts = hosts
        self._resolv_conf = resolv_conf
        self._port = port

    def lookup(self, name: str, families: Sequence[int]) -> list[Address]:
        """The addresses of `name`, IPv4 first; Unresolved says why there are none."""
        if not name or len(name) > LONGEST_NAME + 1:
            raise Unresolved(name, Failure.NO_NAME)
        bare = name.rstrip(".").lower()
        found = list(_in_hosts(_text(self._hosts), bare))
        if not found and (bare == "localhost" or bare.endswith(".localhost")):  # RFC 6761 6.3
            found = [Address(socket.AF_INET, "127.0.0.1"), Address(socket.AF_INET6, "::1")]
        if found:
            return _wanted(name, found, families)
        return self._ask(name, families)

    def _ask(self, name: str, families: Sequence[int]) -> list[Address]:
        configuration = Configuration.parse(_text(self._resolv_conf))
        failure = Failure.NO_NAME
        for candidate in configuration.candidates(name):
            try:
                found = self._ask_servers(configuration, candidate, families)
            except Unresolved as error:
                # a name that exists without an address says more than a name that does not
                if error.failure is not Failure.NO_NAME:
                    failure = error.failure
                if error.failure in {Failure.TRY_AGAIN, Failure.FAILED}:
                    raise
                continue
            return found
        raise Unresolved(name, failure)

    def _ask_servers(
        self, configuration: Configuration, name: str, families: Sequence[int]
    ) -> list[Address]:
        failure = Failure.TRY_AGAIN
        for _ in range(configuration.attempts):
            for server in configuration.servers:
                try:
                    answers = self._exchange(configuration, server, name, families)
                except (OSError, Malformed):
                    continue
                if any(answer.rcode in {Rcode.SERVFAIL, Rcode.REFUSED} for answer in answers):
                    failure = Failure.FAILED
                    continue
                found = [
                    Address(family, text) for answer in answers for family, text in answer.addresses
                ]
                if found:
                    return _wanted(name, found, families)
                absent = any(answer.rcode == Rcode.NXDOMAIN for answer in answers)
                raise Unresolved(name, Failure.NO_NAME if absent else Failure.NO_ADDRESS)
        raise Unresolved(name, failure)

    def _exchange(
        self, configuration: Configuration, server: str, name: str, families: Sequence[int]
    ) -> list[Answer]:
        """Ask one server for all families at once; over TCP what does not fit a datagram."""
        queries = [dnsmessage.Query.of(name, family) for family in families]
        deadline = time.monotonic() + configuration.timeout
        where = (server, self._port)
        if configuration.tcp:
            return [_over_tcp(query, where, deadline) for query in queries]
        answers = _over_udp(queries, where, deadline)
        return [
            _over_tcp(query, where, deadline) if answer.truncated else answer
            for query, answer in zip(queries, answers, strict=True)
        ]


def _over_udp(
    queries: list[dnsmessage.Query], where: tuple[str, int], deadline: float
) -> list[Answer]:
    answers: dict[int, Answer] = {}
    with socket.socket(_family(where[0]) or socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(where)  # so that only this server is heard
        for query in queries:
            asking.send(query.packed())
        while len(answers) < len(queries):
            asking.settimeout(max(deadline - time.monotonic(), 0.001))
            message = asking.recv(dnsmessage.LARGEST_DATAGRAM)
            for query in queries:
                if query.is_answered_by(message):
                    answers[query.identifier] = dnsmessage.parse(message, query)
            if time.monotonic() > deadline:
                raise TimeoutError
    return [answers[query.identifier] for query in queries]


def _over_tcp(query: dnsmessage.Query, where: tuple[str, int], deadline: float) -> Answer:
    """Ask over a connection of its own (RFC 7766); OSError if it ends early."""
    seconds = max(deadline - time.monotonic(), 0.001)
    with socket.socket(_family(where[0]) or socket.AF_INET, socket.SOCK_STREAM) as asking:
        asking.settimeout(seconds)
        asking.connect(where)
        message = query.packed()
        asking.sendall(len(message).to_bytes(2, "big") + message)
        length = int.from_bytes(_received(asking, 2, deadline), "big")
        message = _received(asking, length, deadline)
    if not query.is_answered_by(message):
        raise Malformed("the answer is to another question")
    return dnsmessage.parse(message, query)


def _received(asking: socket.socket, length: int, deadline: float) -> bytes:
    content = b""
    while len(content) < length:
        asking.settimeout(max(deadline - time.monotonic(), 0.001))
        part = asking.recv(length - len(content))
        if not part:
            raise ConnectionResetError
        content += part
    return content


def _in_hosts(text: str, name: str) -> Iterator[Address]:
    """hosts(5): an address, then its names."""
    for line in text.splitlines():
        match line.split("#")[0].split():
            case [address, *names] if name in map(str.lower, names):
                family = _family(address)
                if family:
                    yield Address(family, address)
            case _:
                pass


def _wanted(name: str, found: Iterable[Address], families: Sequence[int]) -> list[Address]:
    wanted = [address for address in dict.fromkeys(found) if address.family in families]
    if not wanted:
        raise Unresolved(name, Failure.NO_ADDRESS)
    return sorted(wanted, key=lambda address: address.family != socket.AF_INET)


def _text(path: str) -> str:
    """A file of the image, at most 1 MiB of it; nothing if it is absent or no regular file."""
    try:
        # an image may have a FIFO here, which would block for ever
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        return os.read(fd, LARGEST_FILE).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _family(text: str) -> int | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.partition("%")[0])
        except OSError:
            continue
        return family
    return None


def _option(option: str) -> tuple[str, str]:
    name, _, value = option.partition(":")
    return name, value


def _bounded(text: str | None, default: int, most: int, *, at_least: int = 1) -> int:
    if text is None or not text.isascii() or not text.isdigit():
        return default
    return max(at_least, min(int(text[:9]), most))
