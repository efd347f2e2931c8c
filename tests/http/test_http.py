"""HTTP itself: methods, bodies, limits and connections that are kept."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.service import ask
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_testing.service import Answer, Service

pytestmark = [pytest.mark.database, pytest.mark.toolchain]

API = ("/init", "/create_order", "/create_orders", "/update_order", "/orders", "/delete_order")
MIB = 1 << 20


def reason(answer: Answer) -> str:
    parsed = json.loads(answer.body)
    assert parsed.keys() == {"status", "reason"}
    assert parsed["status"] is False
    assert answer.headers["content-type"] == "application/json"
    return str(parsed["reason"])


def exchange(service: Service, *parts: bytes) -> bytes:
    """Send bytes as they are, and read until the service closes the connection."""
    received = bytearray()
    with service.socket() as connection:
        for part in parts:
            connection.sendall(part)
        while data := connection.recv(65536):
            received += data
    return bytes(received)


def test_the_root_names_the_endpoints(service: Service) -> None:
    answer = service.get("/")
    assert answer.status == 200
    assert answer.body == (
        b"The valid endpoints are /init /create_order /create_orders /update_order /orders"
        b" /delete_order"
    )
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", API)
def test_preflight_requests(service: Service, path: str) -> None:
    answer = service.request("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert (
        answer.headers["access-control-allow-headers"] == "api,Keep-Alive,User-Agent,Content-Type"
    )


def test_health(service: Service) -> None:
    answer = service.get("/healthz")
    assert (answer.status, answer.body) == (200, b'{"status":true}')


@pytest.mark.parametrize("body", [b"", b"hello", bytes(range(256)), b"x" * MIB])
def test_an_echo_is_what_was_sent(service: Service, body: bytes) -> None:
    answer = service.post("/echo", body)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("path", ["/nothing", "/orders/", "/INIT", "/init/x", "//"])
def test_other_paths_are_not_found(service: Service, path: str) -> None:
    answer = service.get(path)
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/", "GET, HEAD"),
        ("GET", "/echo", "POST"),
        ("OPTIONS", "/echo", "POST"),
        ("POST", "/init", "GET, OPTIONS"),
        ("HEAD", "/init", "GET, OPTIONS"),
        ("GET", "/create_order", "POST, OPTIONS"),
        ("DELETE", "/orders", "GET, HEAD, OPTIONS"),
        ("POST", "/delete_order", "GET, OPTIONS"),
    ],
)
def test_other_methods_are_refused(service: Service, method: str, path: str, allowed: str) -> None:
    answer = service.request(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    if method != "HEAD":
        assert reason(answer) == f"only {allowed} can be used here"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/create_order", "", "EOF while parsing a value at line 1 column 0"),
        ("/create_order", "{", "EOF while parsing an object at line 1 column 1"),
        ("/create_order", "[]", "invalid length 0, expected struct Order with 7 elements"),
        ("/create_order", '{"order_id":1}', "missing field `product_id` at line 1 column 14"),
        ("/create_order", '{"order_id":"1"}', 'invalid type: string "1", expected i32'),
        ("/create_order", '{"order_id":2147483648}', "invalid value: integer `2147483648`"),
        ("/create_orders", "{}", "invalid type: map, expected a sequence"),
        ("/update_order", "null", "invalid type: null, expected struct Order"),
        ("/create_order", b"\xff", "expected value at line 1 column 1"),
    ],
)
def test_bad_orders_are_refused(
    service: Service, path: str, body: str | bytes, expected: str
) -> None:
    answer = service.post(path, body)
    assert answer.status == 400
    assert reason(answer).startswith(f"the body is not what is expected here: {expected}")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert service.errors()[-1].startswith(f"error: POST {path}: 400: the body is not what")


@pytest.mark.parametrize("query", ["", "?", "?order=2", "?id=", "?id=two", "?id=99999999999"])
def test_deleting_needs_a_number(service: Service, query: str) -> None:
    answer = service.get(f"/delete_order{query}")
    assert answer.status == 400
    assert "the number of an order" in reason(answer)


@pytest.mark.parametrize("path", ["/echo", "/create_order"])
def test_a_body_over_the_limit_is_refused(service: Service, path: str) -> None:
    answer = service.post(path, b"x" * (MIB + 1))
    assert answer.status == 413
    assert reason(answer) == "the body is longer than 1048576 bytes"


def test_a_chunked_body_over_the_limit_is_refused(service: Service) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = exchange(service, head, *([chunk] * 20), b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.endswith(b'"the body is longer than 1048576 bytes"}')


def test_who_asks_first_need_not_send_a_long_body(service: Service) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with service.socket() as connection:
        connection.sendall(head % (MIB + 1))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    with service.socket() as connection:
        connection.sendall(head % 5)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert connection.recv(65536).endswith(b"\r\n\r\nhello")


def test_a_connection_is_kept(service: Service) -> None:
    with service.connection() as connection:
        ask(connection, "GET", "/")
        local = connection.sock.getsockname()
        for number in range(50):
            body = b"%d" % number
            assert ask(connection, "POST", "/echo", body).body == body
        assert ask(connection, "GET", "/nothing").status == 404
        assert ask(connection, "GET", "/healthz").status == 200
        assert connection.sock.getsockname() == local


def test_a_client_may_ask_to_close(service: Service) -> None:
    with service.connection() as connection:
        answer = ask(connection, "GET", "/", headers={"Connection": "close"})
        assert answer.headers["connection"] == "close"
    received = exchange(service, b"GET / HTTP/1.0\r\n\r\n")
    assert received.startswith(b"HTTP/1.0 200 OK\r\n")


def test_requests_in_a_row_are_answered_in_order(service: Service) -> None:
    """Pipelining: all requests are sent before the first answer is read."""
    bodies = [b"%d" % number * (number + 1) for number in range(50)]
    requests = [
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in bodies
    ]
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = exchange(service, b"".join(requests) + last)
    answers = received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [
        *bodies,
        b'{"status":true}',
    ]


def test_a_request_may_come_byte_by_byte(service: Service) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    received = exchange(service, *(request[i : i + 1] for i in range(len(request))))
    assert received.endswith(b"\r\n\r\nhi")


@pytest.mark.parametrize(
    "request_line",
    [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"],
)
def test_what_is_not_http_is_refused(service: Service, request_line: bytes) -> None:
    assert exchange(service, request_line).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert service.get("/").status == 200


def test_a_client_that_leaves_early_harms_nobody(service: Service) -> None:
    for part in (b"", b"GET", b"POST /create_order HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"):
        with service.socket() as connection:
            connection.sendall(part)
    for _ in range(20):
        with service.socket() as connection:
            connection.sendall(b"GET /orders HTTP/1.1\r\nHost: x\r\n\r\n")
    assert service.get("/healthz").status == 200


def test_head_has_no_body(service: Service) -> None:
    answer = service.request("HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == len(service.get("/").body)


def test_silent_connections_are_closed(starter: Callable[..., Service]) -> None:
    service = starter(IDLE_TIMEOUT="1", DATABASE_URL="mysql://u:p@127.0.0.1:1/d")
    with service.socket() as fresh, service.socket() as used, service.socket() as slow:
        used.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert used.recv(65536).startswith(b"HTTP/1.1 200 OK")
        slow.sendall(b"GET / HTTP/1.1\r\nHost:")
        for connection in (fresh, used, slow):
            assert not connection.recv(65536)


def test_many_connections(service: Service) -> None:
    connections = [service.socket() for _ in range(300)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for connection in connections:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.close()
    until(lambda: open_sockets(service) < 50, "closed connections are let go")


def open_sockets(service: Service) -> int:
    with open(f"/proc/{service.process.pid}/net/tcp", encoding="ascii") as table:
        port = f":{service.port:04X}"
        established = "01"
        return sum(
            1 for line in table if line.split()[1].endswith(port) and line.split()[3] == established
        )


def test_a_half_closed_connection_is_answered(service: Service) -> None:
    with service.socket() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
