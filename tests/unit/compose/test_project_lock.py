"""One `up` or `down` of a project at a time: others wait, and are told so."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import project_lock
from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_images.home import Home

HOLD = """
import sys
from pathlib import Path
from wasmimg_compose.project_lock import held
from wasmimg_images.home import Home
with held(Home(*map(Path, sys.argv[1:])), "shop", lambda: None):
    print("mine", flush=True)
    sys.stdin.read()
"""


def unexpected() -> None:
    raise AssertionError("nobody has it")


def hold(home: Home) -> subprocess.Popen[str]:
    """Have another process hold the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


@pytest.mark.parametrize("end", [subprocess.Popen[str].kill, subprocess.Popen[str].communicate])
def test_the_second_waits_for_the_end_of_the_first(
    home: Home, monkeypatch: pytest.MonkeyPatch, end: Callable[[subprocess.Popen[str]], object]
) -> None:
    monkeypatch.setattr(project_lock, "QUIET", 0.1)
    first, told = hold(home), list[str]()

    def waiting() -> None:
        told.append("waiting")
        end(first)

    with project_lock.held(home, "shop", waiting):
        assert told == ["waiting"]
        assert first.wait() in {0, -9}
    first.communicate()
    assert list((home.run / "locks").iterdir()) == []


def test_projects_do_not_wait_for_each_other(home: Home) -> None:
    with (
        project_lock.held(home, "one", unexpected),
        project_lock.held(home, "two", unexpected),
    ):
        pass


def test_many_take_turns(home: Home) -> None:
    """Each removes the file that the next one may have open already."""
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with project_lock.held(home, "shop", lambda: None):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_place_that_can_not_be_made(home: Home) -> None:
    home.run.parent.mkdir(exist_ok=True)
    home.run.write_text("")
    with pytest.raises(HostError, match="locks"), project_lock.held(home, "shop", unexpected):
        pass
