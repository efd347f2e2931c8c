"""Health checks: what is run for them, and what the built-in probe takes for an answer."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from wasmimg_compose import asking, probe
from wasmimg_compose.container import Healthcheck
from wasmimg_images.errors import InvalidInput


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well?x=1" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        del format, args


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (("CMD", "true"), ["true"]),
        (("CMD", "a b", "c"), ["a b", "c"]),
        (("CMD-SHELL", "a | b"), ["/bin/sh", "-c", "a | b"]),
        (("CMD-SHELL", "true # don't"), ["/bin/sh", "-c", "true # don't"]),
        (("CMD-SHELL", ""), ["/bin/sh", "-c", ""]),
        (("CMD-SHELL", "wasmimg-probe tcp 80"), ["wasmimg-probe", "tcp", "80"]),
        (("CMD-SHELL", "wasmimg-probe tcp 80 || exit 1"), ["wasmimg-probe", "tcp", "80"]),
    ],
)
def test_what_is_run(test: tuple[str, ...], words: list[str]) -> None:
    assert probe.command(Healthcheck(test)) == words


@pytest.mark.parametrize("test", [(), ("CMD",), ("true",), ("CMD-SHELL", "a", "b")])
def test_what_can_not_be_run(test: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="CMD or CMD-SHELL is missing"):
        probe.command(Healthcheck(test))


def test_a_built_in_probe_that_can_not_be_split_into_words() -> None:
    with pytest.raises(InvalidInput, match=r"wasmimg-probe tcp '80.*No closing quotation"):
        probe.command(Healthcheck(("CMD-SHELL", "wasmimg-probe tcp '80")))


def test_http(port: int) -> None:
    assert asking.answers(["http", f"http://localhost:{port}/well?x=1"], 5)
    assert asking.answers(["http", f"127.0.0.1:{port}/well?x=1"], 5)
    assert not asking.answers(["http", f"http://localhost:{port}/"], 5)


def test_tcp(port: int) -> None:
    assert asking.answers(["tcp", str(port)], 5)
    assert asking.answers(["tcp", f"127.0.0.1:{port}"], 5)


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        number = unused.getsockname()[1]
        assert not asking.answers(["tcp", str(number)], 5)
        assert not asking.answers(["http", f"http://127.0.0.1:{number}/"], 5)


@pytest.mark.parametrize(
    "words", [[], ["http"], ["ftp", "x"], ["http", "https://x/"], ["tcp", "x"], ["tcp", "1", "2"]]
)
def test_questions_that_make_no_sense(words: list[str]) -> None:
    with pytest.raises(InvalidInput, match="wasmimg-probe"):
        asking.answers(words, 1)


def test_a_probe_in_a_child(port: int) -> None:
    good = probe.BuiltInProbe(["wasmimg-probe", "tcp", str(port)], None, 5)
    bad = probe.BuiltInProbe(["wasmimg-probe", "nonsense"], None, 5)
    assert good.fileno() >= 0
    assert good.passed()
    assert not bad.passed()


def test_an_abandoned_probe_is_gone() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        waiting = probe.BuiltInProbe(["wasmimg-probe", "http", url], None, 60)
        waiting.abandon()
    with pytest.raises(OSError, match="Bad file descriptor"):
        waiting.passed()
