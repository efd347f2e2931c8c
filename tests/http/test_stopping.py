"""How the service starts, what it costs while nobody asks, and how it stops."""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.service import ask, environment
from wasmimg_testing.waiting import refuses, until

if TYPE_CHECKING:
    from wasmimg_testing.databases import Server
    from wasmimg_testing.service import Native, OnEngine, Service

pytestmark = [pytest.mark.database, pytest.mark.toolchain]


def run(
    implementation: Native | OnEngine, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        implementation.command(words, variables),
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_and_help(implementation: Native | OnEngine) -> None:
    done = run(implementation, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "demo-microservice 0.1.0\n", "")
    done = run(implementation, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("DATABASE_URL", "DNS_SERVER", "PORT", "IDLE_TIMEOUT"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("variables", "words", "said"),
    [
        ({"DATABASE_URL": "db:3306"}, (), "DATABASE_URL: it must start with mysql://"),
        ({"DATABASE_URL": "mysql://u:p@h"}, (), "DATABASE_URL: a database name is required"),
        (
            {"DATABASE_URL": "mysql://u:secret@h:x/d"},
            (),
            "DATABASE_URL: the port 'x' is not a number from 1 to 65535",
        ),
        ({"PORT": "http"}, (), "PORT: 'http' is not a positive number in range"),
        ({}, ("--prot",), "unknown argument '--prot' (see --help)"),
    ],
)
def test_mistakes_of_the_caller(
    implementation: Native | OnEngine, variables: dict[str, str], words: tuple[str, ...], said: str
) -> None:
    done = run(implementation, *words, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")


def test_a_port_in_use(implementation: Native | OnEngine) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(implementation, PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot listen at port {port}: Address ")
    assert done.stderr.count("\n") == 1


def test_idle_connections_cost_nothing(own_service: Service) -> None:
    own_service.get("/init")
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(own_service.get, ["/orders"] * 100))
    connections = [own_service.socket() for _ in range(100)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    before = own_service.ticks()
    # A measurement over time, not a wait.
    time.sleep(3)
    assert own_service.ticks() == before
    for connection in connections:
        connection.close()


def test_stopping_without_any_connection(own_service: Service) -> None:
    begin = time.monotonic()
    assert own_service.stop() == 0
    assert time.monotonic() - begin < 5
    assert own_service.log()[-1] == "stopping"


def test_stopping_closes_idle_connections(own_service: Service) -> None:
    with own_service.socket() as idle, own_service.socket() as untouched:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert own_service.stop() == 0
        assert not idle.recv(1)
        assert not untouched.recv(1)
    assert own_service.errors() == []


def test_a_request_under_way_is_finished(own_service: Service) -> None:
    with own_service.socket() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        # The service has the beginning once a later request has been answered.
        assert own_service.get("/").status == 200
        own_service.process.terminate()
        until(lambda: own_service.log()[-1] == "stopping", "it begins to stop")
        until(lambda: refuses(own_service.port), "it listens no more")
        connection.sendall(b"world")
        answer = bytearray()
        while data := connection.recv(65536):
            answer += data
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"helloworld")
        assert own_service.process.wait(30) == 0


def test_no_request_is_lost_under_load(own_service: Service, mariadb: Server) -> None:
    """Every request whose first byte the service has read is answered, and every order stored."""
    own_service.get("/init")
    stored: list[int] = []
    lost: list[BaseException] = []
    started = threading.Barrier(9)

    def load(worker: int) -> None:
        number = worker * 1_000_000
        connection = http.client.HTTPConnection("127.0.0.1", own_service.port, timeout=30)
        waited = False
        while True:
            fresh = connection.sock is None
            try:
                answer = ask(connection, "POST", "/create_order", order(number))
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                # The system itself resets connections that nobody has accepted yet.
                if not (fresh and isinstance(error, ConnectionResetError)):
                    lost.append(error)
                return
            assert answer.status == 200, answer
            stored.append(number)
            number += 1
            if not waited:
                started.wait()
                waited = True

    threads = [threading.Thread(target=load, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    assert own_service.stop() == 0
    for thread in threads:
        thread.join(30)
    assert lost == []
    assert own_service.errors() == []
    rows = mariadb.sql(f"SELECT order_id FROM {own_service.database}.orders").split()
    assert sorted(map(int, rows)) == sorted(stored)


def order(number: int) -> str:
    return (
        f'{{"order_id":{number},"product_id":1,"quantity":1,"amount":1,"shipping":1,"tax":1,'
        f'"shipping_address":"somewhere"}}'
    )


def test_a_second_signal_means_at_once(own_service: Service) -> None:
    with own_service.socket() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        assert own_service.get("/").status == 200
        own_service.process.terminate()
        until(lambda: own_service.log()[-1] == "stopping", "it begins to stop")
        begin = time.monotonic()
        own_service.process.terminate()
        assert own_service.process.wait(30) == 1
        assert time.monotonic() - begin < 4
    assert own_service.errors() == ["error: 1 connections were cut"]
