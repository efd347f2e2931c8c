"""Requests: the service's image on wasmtime against the same source built natively."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import Final
from urllib.parse import urlsplit

from rows import Row
from stage import Load, Server, load, native_server, ticks, wasm_server

RUNS: Final = 5
IDLE_CONNECTIONS: Final = 100
IDLE_SECONDS: Final = 3.0
ORDER: Final = {
    "order_id": 1, "product_id": 12, "quantity": 2, "amount": 56.0, "shipping": 15.0, "tax": 2.0,
    "shipping_address": "Mataderos 2312"
}  # fmt: skip


def measure() -> list[Row]:
    """Pair the two servers on `/` and `/orders`, then look at the idle one."""
    native, wasm = native_server(), wasm_server()
    try:
        _fill(native)
        return [*_pairs(wasm, native), _idle(wasm)]
    finally:
        wasm.stop()
        native.stop()


def _connection(server: Server) -> http.client.HTTPConnection:
    parts = urlsplit(server.url)
    return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)


def _fill(server: Server) -> None:
    """Make the table with four orders."""
    connection = _connection(server)
    orders = [{**ORDER, "order_id": number} for number in range(1, 5)]
    for method, path, body in (
        ("GET", "/init", None),
        ("POST", "/create_orders", json.dumps(orders)),
    ):
        connection.request(method, path, body)
        answer = connection.getresponse()
        if answer.read() != b'{"status":true}':
            raise RuntimeError(f"{path}: {answer.status}")
    connection.close()


def _pairs(wasm: Server, native: Server) -> list[Row]:
    rows: list[Row] = []
    for name, path, target in (("root", "/", ">= 0.35"), ("orders", "/orders", ">= 0.45")):
        loads: list[tuple[Load, Load]] = []
        for run in range(RUNS + 1):
            pair = load(wasm, path), load(native, path)
            if run:
                loads.append(pair)
        of, over = zip(*loads, strict=True)
        rows.append(
            Row(
                f"http.{name}.rps.wasmtime_over_native", "requests/s", "wasmtime", RUNS,
                statistics.median(x.rps for x in of), "native",
                statistics.median(x.rps for x in over), target,
            )
        )  # fmt: skip
        rows.append(
            Row(
                f"http.{name}.cpu.wasmtime_over_native", "us/request", "wasmtime", RUNS,
                statistics.median(x.cpu_us for x in of), "native",
                statistics.median(x.cpu_us for x in over), "<= 1.8" if name == "root" else "",
            )
        )  # fmt: skip
    return rows


def _idle(server: Server) -> Row:
    """Hold open connections, each used once, and count the ticks of three seconds."""
    held = [_connection(server) for _ in range(IDLE_CONNECTIONS)]
    for connection in held:
        connection.request("GET", "/")
        connection.getresponse().read()
    found: list[int] = []
    for _ in range(RUNS):
        before = ticks(server.pid)
        time.sleep(IDLE_SECONDS)
        found.append(ticks(server.pid) - before)
    for connection in held:
        connection.close()
    name = f"wasmtime, {IDLE_CONNECTIONS} connections, {IDLE_SECONDS:g} s"
    return Row("http.idle_cpu", "ticks", name, RUNS, statistics.median(found), target="<= 0")
