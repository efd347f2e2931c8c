"""The FIFOs of a foreground container in its supervisor's care, for when who relays them is killed.

Whoever relays holds a lock on their folder. Once the lock can be had, what the container writes is
read into its log, so that it neither dies of a broken pipe nor waits for ever at a full one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_compose.alarms import Alarm, Alarms

NAMES: Final = ("stdout", "stderr")
CHUNK: Final = 1 << 16
#: Seconds between looks at the lock: a pipe holds what comes meanwhile.
INTERVAL: Final = 0.5


def lock(folder: Path) -> int | None:
    """Become the one who relays, until the descriptor is closed; None if somebody does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


class Streams:
    """The reading ends, read from only once nobody else does."""

    def __init__(
        self, folder: Path, log: Path, selector: selectors.BaseSelector, alarms: Alarms
    ) -> None:
        self._folder, self._log = folder, log
        self._selector, self._alarms = selector, alarms
        self._lock: int | None = None
        self._sink: int | None = None
        self._readers = [
            os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) for name in NAMES
        ]
        self._alarm: Alarm | None = alarms.set(INTERVAL, self._look)

    def _look(self) -> None:
        try:
            self._lock = lock(self._folder)
        except FileNotFoundError:  # the container has ended, and is being taken down
            return
        if self._lock is None:
            self._alarm = self._alarms.set(INTERVAL, self._look)
            return
        self._sink = os.open(
            self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        for reader in self._readers:
            self._selector.register(reader, selectors.EVENT_READ, lambda r=reader: self._copy(r))

    def _copy(self, reader: int) -> bool:
        """Log what there is; False at the end of the stream."""
        assert self._sink is not None
        try:
            data = os.read(reader, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(reader)
            return False
        os.write(self._sink, data)
        return True

    def close(self) -> None:
        """Log what is left, if nobody else has read it, and let go."""
        self._alarms.cancel(self._alarm)
        if self._lock is None:
            with contextlib.suppress(FileNotFoundError):
                self._look()
            self._alarms.cancel(self._alarm)
        for reader in self._readers:
            while self._sink is not None and self._copy(reader):
                pass
            with contextlib.suppress(KeyError):
                self._selector.unregister(reader)
            os.close(reader)
        for handle in (self._lock, self._sink):
            if handle is not None:
                os.close(handle)
