"""The static file server, compiled to Wasm, on the engine; its native tests are beside its source."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_builder.cargo import discover
from wasmimg_builder.compilation import Compilation, compile_module, run_process
from wasmimg_builder.toolchains.debian import DebianToolchain
from wasmimg_testing.waiting import refuses, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.toolchain, pytest.mark.slow]

PROJECT = Path(__file__).parents[3] / "images/static-server"
PAGE = b"<h1>orders</h1>"
LARGE = bytes(range(256)) * (64 << 10)
EPOCH_1980 = 315_532_800


@pytest.fixture(scope="module")
def module(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    target = pytestconfig.cache.mkdir("static-server")
    project = discover(PROJECT, wanted=None)
    compilation = Compilation(project, DebianToolchain(), target, os.environ, EPOCH_1980)
    lines: list[str] = []
    return compile_module(compilation, run_process, lines.append)


class Server:
    def __init__(self, module: Path, root: Path, cache: Path) -> None:
        command = [sys.executable, "-m", "wasmimg_shim.engine", "--dir", f"/={root}"]
        self.process = subprocess.Popen(
            [*command, str(module), "--port=0"],
            env={**os.environ, "WASMIMG_CACHE": str(cache)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("serving /usr/share/nginx/html at port "), first
        self.port = int(first.rsplit(maxsplit=1)[1])

    def get(
        self,
        path: str,
        *,
        host: str = "127.0.0.1",
        method: str = "GET",
        headers: dict[str, str] | None = None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(host, self.port, timeout=20)
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    site = tmp_path / "root/usr/share/nginx/html"
    site.mkdir(parents=True)
    (site / "index.html").write_bytes(PAGE)
    (site / "large.bin").write_bytes(LARGE)
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.fixture
def start(module: Path, root: Path, cache: Path) -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server(module, root, cache))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.returncode is None:
            assert server.stop()[0] == 0


def test_a_page_over_both_families_and_its_validator(start: Callable[[], Server]) -> None:
    server = start()
    response, body = server.get("/")
    assert (response.status, body) == (200, PAGE)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    tag = response.headers["ETag"]
    response, body = server.get("/", host="::1", headers={"If-None-Match": tag})
    assert (response.status, body) == (304, b"")


def test_large_files_whole_and_in_parts(start: Callable[[], Server]) -> None:
    server = start()
    response, body = server.get("/large.bin")
    assert response.headers["Content-Length"] == str(len(LARGE))
    assert body == LARGE
    response, body = server.get("/large.bin", headers={"Range": "bytes=65000-131999"})
    assert (response.status, body) == (206, LARGE[65000:132000])
    response, body = server.get("/large.bin", method="HEAD")
    assert (response.status, body) == (200, b"")


def test_nothing_outside_is_served(start: Callable[[], Server], root: Path) -> None:
    site = root / "usr/share/nginx/html"
    (site / "absolute").symlink_to(root.parent / "secret")
    (site / "relative").symlink_to("../" * 5 + "secret")
    os.mkfifo(site / "fifo")
    server = start()
    for path in ("/absolute", "/relative", "/fifo", "/nothing"):
        response, body = server.get(path)
        assert (response.status, body) == (404, b"404 Not Found\n"), path
    for path in ("/../secret", "/%2e%2e/secret", "/..%2f..%2fsecret"):
        response, body = server.get(path)
        assert response.status == 400, path
        assert b"secret" not in body


def test_sigterm_finishes_what_is_under_way(start: Callable[[], Server]) -> None:
    server = start()
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as idle,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as busy,
    ):
        busy.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        received = bytearray(busy.recv(1000))
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        until(lambda: refuses(server.port), "its listener to be closed")
        while chunk := busy.recv(1 << 16):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == LARGE
    out, _ = server.process.communicate(timeout=20)
    assert (server.process.returncode, out) == (0, "stopped by signal 15\n")


def test_no_folder_is_one_line_and_exit_2(module: Path, tmp_path: Path, cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wasmimg_shim.engine", "--dir", f"/={tmp_path}", str(module)],
        env={**os.environ, "WASMIMG_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("static-server: neither ")
    assert done.stderr.count("\n") == 1
