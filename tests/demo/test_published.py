"""The published demo's own Compose file, unchanged, on the images that `make demo` made.

`.ci/test` runs this after the demo, with the demo's home in the environment.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "demo-microservice" / "compose.published.yaml"
STAND_INS = {"nginx:alpine": "static-server", "mariadb:10.9": "mariadb:10.11"}
pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]


def wasmimg(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wasmimg", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def started() -> Iterator[subprocess.CompletedProcess[str]]:
    assert "WASMIMG_HOME" in os.environ, "run `make demo`, then source build/demo/env"
    for name, made in STAND_INS.items():
        wasmimg("tag", made, name)
    try:
        yield wasmimg("compose", "-f", str(FILE), "up", "-d")
    finally:
        wasmimg("compose", "-f", str(FILE), "down", "-v")
        wasmimg("rmi", *STAND_INS)


def answer(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


def test_one_warning_says_that_wasmtime_stands_in(
    started: subprocess.CompletedProcess[str],
) -> None:
    warnings = [line for line in started.stderr.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "wasmedge is not installed" in warnings[0]


@pytest.mark.usefixtures("started")
def test_the_page_is_served() -> None:
    status, body = answer(8090, "/")
    assert status == 200
    assert b"<html" in body


@pytest.mark.usefixtures("started")
def test_orders_reach_the_database_once_it_is_up() -> None:
    end = time.monotonic() + 60
    while answer(8080, "/init")[0] != 200:
        assert time.monotonic() < end, "the service found no database within a minute"
    status, body = answer(8080, "/orders")
    assert (status, json.loads(body)) == (200, [])
