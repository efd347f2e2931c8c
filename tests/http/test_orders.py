"""Orders: the published demo's script byte for byte, and data that is hard to carry."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wasmimg_testing.service import Answer, Service

pytestmark = [pytest.mark.database, pytest.mark.toolchain]

ORDERS = (
    '[{"order_id":1,"product_id":12,"quantity":2,"amount":56.0,"shipping":15.0,"tax":2.0,'
    '"shipping_address":"Mataderos 2312"},'
    '{"order_id":2,"product_id":15,"quantity":3,"amount":256.0,"shipping":30.0,"tax":16.0,'
    '"shipping_address":"1234 NW Bobcat"},'
    '{"order_id":3,"product_id":11,"quantity":5,"amount":536.0,"shipping":50.0,"tax":24.0,'
    '"shipping_address":"20 Havelock"},'
    '{"order_id":4,"product_id":8,"quantity":8,"amount":126.0,"shipping":20.0,"tax":12.0,'
    '"shipping_address":"224 Pandan Loop"},'
    '{"order_id":5,"product_id":24,"quantity":1,"amount":46.0,"shipping":10.0,"tax":2.0,'
    '"shipping_address":"No.10 Jalan Besar"}]'
)
CHANGED = (
    '{"order_id":3,"product_id":12,"quantity":2,"amount":124.0,"shipping":8.5,"tax":1.25,'
    '"shipping_address":"123 Main Street"}'
)
DONE = b'{"status":true}'
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "api,Keep-Alive,User-Agent,Content-Type",
}


def order(number: int = 1, **changes: object) -> dict[str, object]:
    fields = {"product_id": 12, "quantity": 2, "amount": 56.0, "shipping": 15.0, "tax": 2.0}
    return {"order_id": number, **fields, "shipping_address": "Mataderos 2312", **changes}


def stored(service: Service) -> list[dict[str, object]]:
    answer = service.get("/orders")
    assert answer.status == 200, answer
    found: list[dict[str, object]] = json.loads(answer.body)
    return found


def check(answer: Answer, body: bytes) -> None:
    assert answer.status == 200, answer
    assert answer.body == body
    assert CORS.items() <= answer.headers.items()


def test_the_order_script(service: Service) -> None:
    rows = [part.rstrip("]").lstrip("[") for part in ORDERS.replace("},{", "}\n{").splitlines()]
    check(service.get("/init"), DONE)
    check(service.get("/orders"), b"[]")
    check(service.post("/create_orders", ORDERS), DONE)
    check(service.get("/orders"), ORDERS.encode())
    check(service.get("/delete_order?id=2"), DONE)
    check(service.get("/orders"), f"[{','.join(rows[:1] + rows[2:])}]".encode())
    check(service.post("/update_order", CHANGED), DONE)
    changed = [rows[0], CHANGED, *rows[3:]]
    check(service.get("/orders"), f"[{','.join(changed)}]".encode())


@pytest.mark.parametrize(
    "address",
    [
        "",
        'it\'s "quoted" \\ back`tick; -- DROP TABLE orders',
        "日本 東京 🚚 Straße",
        "line\nbreak\ttab",
        "NULL",
        "é" * 256,
    ],
)
def test_any_text_comes_back(service: Service, address: str) -> None:
    service.get("/init")
    sent = order(shipping_address=address)
    check(service.post("/create_order", json.dumps(sent)), DONE)
    assert stored(service) == [sent]


def test_extreme_numbers_come_back(service: Service) -> None:
    service.get("/init")
    sent = [
        order(2**31 - 1, product_id=-(2**31), quantity=0, amount=-0.5, tax=3.4e38),
        order(-(2**31), amount=16777216.0, shipping=1e-30, tax=0.0),
    ]
    check(service.post("/create_orders", json.dumps(sent)), DONE)
    assert stored(service) == sent


def test_the_table_is_the_published_one(service: Service) -> None:
    service.get("/init")
    service.get("/init")
    assert stored(service) == []


def test_unknown_fields_are_passed_over(service: Service) -> None:
    service.get("/init")
    check(service.post("/create_order", json.dumps(order(extra=[1, 2]))), DONE)
    assert stored(service) == [order()]


def test_updating_and_deleting_what_is_not_there(service: Service) -> None:
    service.get("/init")
    check(service.post("/update_order", json.dumps(order(7))), DONE)
    check(service.get("/delete_order?id=7"), DONE)
    assert stored(service) == []


def test_a_list_is_stored_as_a_whole_or_not_at_all(service: Service) -> None:
    service.get("/init")
    orders = [order(1), order(2, shipping_address="x" * 257), order(3)]
    answer = service.post("/create_orders", json.dumps(orders))
    assert answer.status == 400
    assert "shipping_address" in json.loads(answer.body)["reason"]
    assert stored(service) == []
    check(service.post("/create_orders", "[]"), DONE)
    assert stored(service) == []


def test_many_clients_at_once(service: Service) -> None:
    """More clients than the pool has connections: some wait in line, none is refused."""
    service.get("/init")
    with ThreadPoolExecutor(32) as pool:
        answers = list(
            pool.map(
                lambda number: service.post("/create_order", json.dumps(order(number))), range(200)
            )
        )
    assert {answer.status for answer in answers} == {200}
    assert {row["order_id"] for row in stored(service)} == set(range(200))
    assert len(stored(service)) == 200


def test_thousands_of_orders(service: Service) -> None:
    service.get("/init")
    sent = [order(number, shipping_address="ü" * 20) for number in range(5000)]
    body = json.dumps(sent, ensure_ascii=False, separators=(",", ":"))
    assert len(body.encode()) < 1 << 20
    check(service.post("/create_orders", body), DONE)
    assert stored(service) == sent
