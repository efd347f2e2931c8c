"""The blocking client's patience."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from wasmimg_shim import client


class Silent:
    """A listening socket that takes one connection and, when told to, hangs up."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(1)

    def hang_up(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.recv(1)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 9e9, None])
def test_a_wait_may_be_as_long_as_it_likes(tmp_path: Path, timeout: float | None) -> None:
    silent = Silent(tmp_path / "shim")
    waiting = client.PendingWait(f"unix://{silent.address}", "c1")
    ending = threading.Thread(target=silent.hang_up)
    ending.start()
    with pytest.raises(client.ShimGone):
        waiting.result(timeout)
    ending.join()
    waiting.close()


def test_a_wait_that_is_over_says_so(tmp_path: Path) -> None:
    silent = Silent(tmp_path / "shim")
    waiting = client.PendingWait(f"unix://{silent.address}", "c1")
    with pytest.raises(TimeoutError):
        waiting.result(0)
    silent.hang_up()
    waiting.close()
