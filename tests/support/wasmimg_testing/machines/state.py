"""Folders of running machines, each locked by the process that runs its machine."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
from typing import TYPE_CHECKING

from wasmimg_testing.machines import root
from wasmimg_testing.machines.cgroups import MachineCgroup

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_numbers = itertools.count()


@contextlib.contextmanager
def folder(suite: str) -> Generator[Path]:
    """Make a folder with a name that no other machine has, and remove it in the end."""
    places = root.cache() / "state"
    places.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with contextlib.ExitStack() as making:
            _lock(making, places, fcntl.LOCK_EX)
            for left in places.iterdir():
                _sweep(left)
            place = places / f"wasmimg-{suite}-{os.getpid()}-{next(_numbers)}"
            place.mkdir()
            held.callback(shutil.rmtree, place)
            _lock(held, place, fcntl.LOCK_EX)
        yield place


def _lock(stack: contextlib.ExitStack, place: Path, how: int) -> None:
    """Lock a folder until the stack is left; BlockingIOError with LOCK_NB where somebody has it."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    fcntl.flock(fd, how)


def _sweep(place: Path) -> None:
    """Remove what the machine of a killed process has left, once all that ran in it has ended."""
    with contextlib.ExitStack() as stack:
        try:
            _lock(stack, place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        cgroup = MachineCgroup(place.name)
        if not cgroup.processes():
            cgroup.remove()
            shutil.rmtree(place)
