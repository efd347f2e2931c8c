"""The service and its database: logins, restarts, absence, names."""

from __future__ import annotations

import itertools
import json
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dns.message
import dns.rcode
import dns.rrset
import pytest

from wasmimg_testing.databases import USERS, MariaDb, Server
from wasmimg_testing.service import ask
from wasmimg_testing.waiting import free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasmimg_testing.service import Service

    Starter = Callable[..., Service]

pytestmark = [pytest.mark.database, pytest.mark.toolchain]

UNAVAILABLE = b'{"status":false,"reason":"the database is not available"}'
ORDER = json.dumps(
    {
        "order_id": 1,
        "product_id": 2,
        "quantity": 3,
        "amount": 4.5,
        "shipping": 5.5,
        "tax": 6.5,
        "shipping_address": "日本 it's",
    },
    ensure_ascii=False,
    separators=(",", ":"),
)
_names = (f"own{number}" for number in itertools.count())


def check_orders(service: Service) -> None:
    assert service.get("/init").status == 200, service.log()
    assert service.post("/create_order", ORDER).status == 200, service.log()
    assert service.get("/orders").body.decode() == f"[{ORDER}]"


@pytest.fixture
def own_mariadb() -> Iterator[Server]:
    """A server that a test may stop."""
    server = Server(MariaDb())
    server.sql("CREATE DATABASE orders")
    yield server
    server.close()


@pytest.mark.parametrize("user", USERS)
def test_mysql_native_password(starter: Starter, mariadb: Server, user: str) -> None:
    mariadb.sql(f"CREATE DATABASE {(database := next(_names))}")
    check_orders(starter(DATABASE_URL=mariadb.url(database, user)))


@pytest.mark.slow
@pytest.mark.parametrize("user", USERS)
def test_caching_sha2_password(starter: Starter, mysql: Server, user: str) -> None:
    """The first login after FLUSH PRIVILEGES is the whole exchange, RSA included; then the fast one."""
    mysql.sql(f"CREATE DATABASE {(database := next(_names))}; FLUSH PRIVILEGES")
    for _ in range(2):
        service = starter(DATABASE_URL=mysql.url(database, user))
        check_orders(service)
        assert service.stop() == 0
    assert mysql.sql("SELECT plugin FROM mysql.user WHERE user = 'orders'").split() == [
        "caching_sha2_password"
    ]


@pytest.mark.slow
def test_a_wrong_password_on_mysql(starter: Starter, mysql: Server) -> None:
    service = starter(DATABASE_URL=mysql.url("mysql", "orders", "wrong"))
    answer = service.get("/orders")
    assert (answer.status, answer.body) == (503, UNAVAILABLE)
    assert "Access denied for user 'orders'" in service.errors()[0]


@pytest.mark.parametrize(
    ("user", "password", "database", "said"),
    [
        ("orders", "wrong", "mysql", "error 1045 (28000): Access denied for user 'orders'"),
        ("nobody", "x", "mysql", "error 1045 (28000): Access denied for user 'nobody'"),
        ("orders", None, "nowhere", "error 1049 (42000): Unknown database 'nowhere'"),
    ],
)
def test_a_login_that_is_refused(
    starter: Starter, mariadb: Server, user: str, password: str | None, database: str, said: str
) -> None:
    service = starter(DATABASE_URL=mariadb.url(database, user, password))
    answer = service.get("/orders")
    assert (answer.status, answer.body) == (503, UNAVAILABLE)
    assert answer.headers["retry-after"] == "1"
    (line,) = service.errors()
    assert line.startswith(f"error: GET /orders: 503: database 127.0.0.1:{mariadb.port}: {said}")
    assert "whalehello" not in line


def test_a_missing_table_is_explained(own_service: Service) -> None:
    answer = own_service.get("/orders")
    assert answer.status == 503
    reason = json.loads(answer.body)["reason"]
    assert reason == "there is no table of orders yet: GET /init makes one"
    check_orders(own_service)


def test_no_database_at_the_start(starter: Starter, own_mariadb: Server) -> None:
    own_mariadb.stop()
    service = starter(DATABASE_URL=own_mariadb.url("orders"))
    assert service.get("/").status == 200
    for path in ("/healthz", "/orders", "/init", "/delete_order?id=1"):
        answer = service.get(path)
        assert (answer.status, answer.body) == (503, UNAVAILABLE)
    assert len(service.errors()) == 4
    own_mariadb.start()
    check_orders(service)


def test_a_restart_of_the_database_costs_no_request(starter: Starter, own_mariadb: Server) -> None:
    """Idle connections are looked at before a request is sent on them."""
    service = starter(DATABASE_URL=own_mariadb.url("orders"))
    check_orders(service)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(service.get, ["/orders"] * 100))
    for _ in range(2):
        own_mariadb.restart()
        for _ in range(12):
            assert service.post("/create_order", ORDER).status == 200
            assert service.get("/orders").status == 200
    assert service.errors() == []


def test_a_restart_under_load(starter: Starter, own_mariadb: Server) -> None:
    service = starter(DATABASE_URL=own_mariadb.url("orders"))
    service.get("/init")
    done = threading.Event()

    def load() -> set[int]:
        seen = set()
        with service.connection() as connection:
            while not done.is_set():
                seen.add(ask(connection, "POST", "/create_order", ORDER).status)
        return seen

    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load) for _ in range(8)]
        own_mariadb.stop()
        until(lambda: len(service.errors()) > 20, "requests fail while there is no database")
        own_mariadb.start()
        until(lambda: service.get("/healthz").status == 200, "the service is healthy again")
        done.set()
        statuses = set().union(*(load.result() for load in loads))
    assert statuses <= {200, 503}
    assert 503 in statuses
    assert service.get("/orders").status == 200


def test_connections_that_the_database_ends(own_service: Service, mariadb: Server) -> None:
    own_service.get("/init")
    for _ in range(3):
        listed = mariadb.sql(
            "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist"
            " WHERE user = 'orders'"
        )
        mariadb.sql(listed)
        until(lambda: not connections(mariadb), "the connections are closed")
        assert own_service.post("/create_order", ORDER).status == 200
    assert own_service.errors() == []


def test_the_pool_has_at_most_ten_connections(own_service: Service, mariadb: Server) -> None:
    own_service.get("/init")
    before = connections(mariadb)
    with ThreadPoolExecutor(40) as pool:
        statuses = {answer.status for answer in pool.map(own_service.get, ["/orders"] * 400)}
    assert statuses == {200}
    assert len(connections(mariadb) - before) < 10


def connections(server: Server) -> set[str]:
    return set(
        server.sql("SELECT id FROM information_schema.processlist WHERE user = 'orders'").split()
    )


@contextmanager
def name_server(addresses: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Serve A records over UDP; gives the address and the list of names asked for."""
    asked: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, reply_socket = self.request
            query = dns.message.from_wire(data)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True)
            asked.append(name)
            reply = dns.message.make_response(query)
            if name not in addresses:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            elif question.rdtype == dns.rdatatype.A:
                reply.answer.append(
                    dns.rrset.from_text(question.name, 5, "IN", "A", addresses[name])
                )
            reply_socket.sendto(reply.to_wire(), self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def test_names_are_asked_of_the_dns_server(starter: Starter, mariadb: Server) -> None:
    mariadb.sql(f"CREATE DATABASE {(database := next(_names))}")
    url = mariadb.url(database).replace("127.0.0.1", "db.example")
    with name_server({"db.example": "127.0.0.1"}) as (address, asked):
        check_orders(starter(DATABASE_URL=url, DNS_SERVER=address))
    assert set(asked) == {"db.example"}


def test_a_host_that_nobody_knows(starter: Starter) -> None:
    with name_server({}) as (address, _):
        service = starter(DATABASE_URL="mysql://u:p@nowhere.example/d", DNS_SERVER=address)
        answer = service.get("/orders")
    assert (answer.status, answer.body) == (503, UNAVAILABLE)
    (line,) = service.errors()
    assert line.startswith("error: GET /orders: 503: database nowhere.example:3306: ")
    assert "nowhere.example" in line.partition(":3306: ")[2]


def test_a_host_that_the_system_does_not_know(starter: Starter) -> None:
    service = starter(DATABASE_URL="mysql://u:p@nowhere.invalid/d")
    assert service.get("/orders").status == 503
    (line,) = service.errors()
    assert line.startswith("error: GET /orders: 503: database nowhere.invalid:3306: ")


def test_something_else_at_the_databases_port(starter: Starter) -> None:
    class Stranger(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        service = starter(DATABASE_URL=f"mysql://u:p@127.0.0.1:{server.server_address[1]}/d")
        assert service.get("/orders").status == 503
        server.shutdown()
        thread.join()
    (line,) = service.errors()
    assert "unexpected answer from the server" in line


def test_nobody_at_the_databases_port(starter: Starter) -> None:
    port = free_port()
    service = starter(DATABASE_URL=f"mysql://u:p@127.0.0.1:{port}/d")
    assert service.get("/healthz").status == 503
    (line,) = service.errors()
    assert line.startswith(
        f"error: GET /healthz: 503: database 127.0.0.1:{port}: Connection refused"
    )
