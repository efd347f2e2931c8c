"""The client page in a real browser, on the service and a real database."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.browser import Page, browser
from wasmimg_testing.service import PROJECT, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.browser,
    pytest.mark.database,
    pytest.mark.toolchain,
    pytest.mark.slow,
]

ORDER = {
    "order_id": "7",
    "product_id": "12",
    "quantity": "2",
    "amount": "56.5",
    "shipping": "15",
    "tax": "2.1",
    "shipping_address": "<b>it's</b> 日本",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = partial(Quiet, directory=str(PROJECT / "client"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(chromium: Page, site: str, service: Service) -> Page:
    service.get("/init")
    chromium.open(f"{site}/?api={service.url}")
    chromium.wait_for("#status", "Loaded.")
    return chromium


def rows(page: Page) -> object:
    return page.run(
        "return [...document.querySelectorAll('#orders tr')]"
        ".map(row => [...row.cells].slice(0, 7).map(cell => cell.textContent))"
    )


def create(page: Page, **changes: str) -> None:
    for name, value in {**ORDER, **changes}.items():
        page.fill(f"#order [name={name}]", value)
    page.click("#save")


def test_orders_are_created_changed_and_deleted(page: Page) -> None:
    assert page.text("#none") == "There are no orders."
    create(page)
    page.wait_for("#status", "Order 7 is created.")
    assert rows(page) == [list(ORDER.values())]

    page.click("[data-order='7'] button[aria-label='Change order 7']")
    assert page.text("#form-title") == "Order 7"
    page.fill("#order [name=shipping_address]", "elsewhere")
    page.click("#save")
    page.wait_for("#status", "Order 7 is saved.")
    assert rows(page) == [[*list(ORDER.values())[:-1], "elsewhere"]]
    assert page.text("#form-title") == "New order"

    create(page, order_id="8")
    page.wait_for("#status", "Order 8 is created.")
    page.click("[data-order='7'] button[aria-label='Delete order 7']")
    page.wait_for("#status", "Order 7 is deleted.")
    assert rows(page) == [["8", *list(ORDER.values())[1:]]]

    page.click("#init")
    page.accept()
    page.wait_for("#status", "The table is empty.")
    assert rows(page) == []


def test_what_is_typed_is_shown_as_text(page: Page) -> None:
    create(page)
    page.wait_for("#status", "Order 7 is created.")
    assert page.run("return document.querySelectorAll('#orders b').length") == 0


def test_the_reason_of_a_refusal_is_shown(page: Page) -> None:
    page.run("document.querySelector('[name=shipping_address]').removeAttribute('maxlength')")
    create(page, shipping_address="x" * 257)
    page.wait_for("#status.error", "Data too long for column 'shipping_address' at row 1")
    assert rows(page) == []


def test_an_absent_service_is_named(page: Page) -> None:
    page.fill("#base", "http://127.0.0.1:1/")
    page.click("#service button")
    page.wait_for("#status.error", "No answer from http://127.0.0.1:1")


def test_the_service_is_at_port_8080_of_the_pages_host(chromium: Page, site: str) -> None:
    chromium.open(site)
    chromium.run("localStorage.clear()")
    chromium.open(site)
    assert chromium.run("return document.getElementById('base').value") == "http://127.0.0.1:8080"


def test_every_field_has_a_name_for_those_who_cannot_see_it(page: Page) -> None:
    unnamed = page.run(
        "return [...document.querySelectorAll('input')].filter(i => !i.labels.length).length"
    )
    assert unnamed == 0
    assert page.run("return document.documentElement.lang") == "en"
