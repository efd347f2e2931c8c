"""Waiting for a condition, never for a time."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class HasFileno(Protocol):
        def fileno(self) -> int: ...


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until the condition holds; AssertionError names what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def readable(what: int | HasFileno, seconds: float = 60) -> bool:
    """Tell whether there is something to read, or comes within the time; any descriptor will do."""
    poll = select.poll()
    poll.register(what, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def refuses(port: int) -> bool:
    """Tell whether nobody listens at a port of the loopback address any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the listener was closed with us in its queue
        return False
    return False


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
