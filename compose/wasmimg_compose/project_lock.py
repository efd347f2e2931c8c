"""The lock of a project while its containers are brought up or taken down: one command at a time.

It is flock(2)'s, so a killed command's is free. A supervisor's lock is another (supervision.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from wasmimg_images.home import Home

#: Seconds of waiting that nobody needs to be told of, and between looks during them.
QUIET: Final = 1.0
LOOK: Final = 0.02


@contextlib.contextmanager
def held(home: Home, project: str, waiting: Callable[[], None]) -> Generator[None]:
    """Hold a project's lock; `waiting` is called once if another has it for more than a second.

    HostError where its file can't be made.
    """
    path = home.run / "locks" / project
    handle = _locked(path, waiting)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, waiting: Callable[[], None]) -> int:
    told, deadline = False, time.monotonic() + QUIET
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
        try:
            if not told and not _soon(handle, deadline):
                told = True
                waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last holder has removed it: the next waits at another file


def _soon(handle: int, deadline: float) -> bool:
    """Try to lock until the deadline."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        else:
            return True


def _is_at(handle: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False
