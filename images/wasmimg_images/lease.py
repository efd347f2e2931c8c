"""Who may add blobs, and who may delete them: many writers, or one collector.

A writer holds a shared lock from its first blob to the tag that leads to it, the collector needs
the lock alone. It is the kernel's (flock), so it ends with the process that holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


class Lease:
    """One process's part in the lock; its threads share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._fd: int | None = None
        self._blocks = 0

    def hold(self) -> None:
        """Keep the collector away until `let_go`; waits for one at work."""
        with self._guard:
            self._hold()

    @contextlib.contextmanager
    def block(self) -> Generator[None]:
        """Keep the collector away until the block ends, whatever lets go meanwhile."""
        with self._guard:
            self._hold()
            self._blocks += 1
        try:
            yield
        finally:
            with self._guard:
                self._blocks -= 1
            self.let_go()

    def let_go(self) -> None:
        """Let the collector in, unless a block is open."""
        with self._guard:
            if self._fd is not None and not self._blocks:
                os.close(self._fd)
                self._fd = None

    @contextlib.contextmanager
    def alone(self) -> Generator[bool]:
        """Try to keep all writers away while the block lasts; says whether that worked."""
        fd = self._open()
        try:
            yield _try_lock(fd)
        finally:
            os.close(fd)

    def _hold(self) -> None:
        if self._fd is None:
            fd = self._open()
            fcntl.flock(fd, fcntl.LOCK_SH)
            self._fd = fd

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
