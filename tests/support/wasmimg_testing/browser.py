"""Headless Chromium, driven by the WebDriver protocol (W3C) over plain HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasmimg_testing.waiting import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: how WebDriver marks an element in JSON
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Page:
    """The page that the browser shows; elements are named by CSS selectors."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._do("POST", "/url", {"url": url})

    def click(self, selector: str) -> None:
        """Click an element as a person would: it must be visible and enabled."""
        self._do("POST", f"/element/{self._find(selector)}/click", {})

    def fill(self, selector: str, text: str) -> None:
        """Replace the text of an input."""
        element = self._find(selector)
        self._do("POST", f"/element/{element}/clear", {})
        self._do("POST", f"/element/{element}/value", {"text": text})

    def text(self, selector: str) -> str:
        """Give the visible text of an element."""
        return str(self._do("GET", f"/element/{self._find(selector)}/text"))

    def accept(self) -> None:
        """Say yes to the question that the page asks."""
        self._do("POST", "/alert/accept", {})

    def run(self, script: str) -> object:
        """Run JavaScript in the page and give what it returns."""
        return self._do("POST", "/execute/sync", {"script": script, "args": []})

    def wait_for(self, selector: str, text: str) -> None:
        """Wait until an element has this text."""
        until(lambda: self.text(selector) == text, f"{selector}: {text}", 20)

    def _find(self, selector: str) -> str:
        found = self._do("POST", "/element", {"using": "css selector", "value": selector})
        assert isinstance(found, dict)
        return str(found[ELEMENT])

    def _do(self, method: str, path: str, body: object = None) -> object:
        return call(self._port, method, f"/session/{self._session}{path}", body)


def call(port: int, method: str, path: str, body: object = None) -> object:
    """Send one WebDriver command; AssertionError has the driver's message."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        value: object = json.load(response)["value"]
    finally:
        connection.close()
    assert response.status == 200, value
    return value


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start Chromium with an empty profile, and end it with all its processes."""
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: _is_ready(port), "chromedriver")
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium",
                "args": [*OPTIONS, f"--user-data-dir={profile}"],
            },
        }
        match call(port, "POST", "/session", {"capabilities": {"alwaysMatch": wanted}}):
            case {"sessionId": str(session)}:
                pass
            case other:
                raise AssertionError(other)
        # For elements that are yet to come.
        call(port, "POST", f"/session/{session}/timeouts", {"implicit": 10_000})
        yield Page(port, session)
        call(port, "DELETE", f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait()


def _is_ready(port: int) -> bool:
    try:
        call(port, "GET", "/status")
    except OSError:
        return False
    return True
