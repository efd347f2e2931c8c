"""The FIFOs of a foreground container in its supervisor's care, for when who relays them is killed.

Whoever relays holds a lock on their folder. Once the lock can be had, what the container writes is
read into its log, so that it neither dies of a broken pipe nor waits for ever at a full one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_compose.alarms import Alarm
    from wasmimg_compose.loop import Share

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

    def __init__(self, folder: Path, log: Path, share: Share) -> None:
        self._folder, self._log, self._share = folder, log, share
        self._lock: int | None = None
        self._sink: int | None = None
        self._readers = [
            os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) for name in NAMES
        ]
        self._alarm: Alarm | None = share.set(INTERVAL, self._look)

    def _look(self) -> None:
        try:
            self._lock = lock(self._folder)
        except FileNotFoundError:  # the container has ended, and is being taken down
            return
        if self._lock is None:
            self._alarm = self._share.set(INTERVAL, self._look)
            return
        sink = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._sink = sink
        for reader in self._readers:
            self._share.register(reader, partial(self._copy, reader, sink))

    def _copy(self, reader: int, sink: int) -> bool:
        """Log what there is; False at the end of the stream."""
        try:
            data = os.read(reader, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._share.unregister(reader)
            return False
        # A full disk costs lines of the log, as where the container writes to it itself.
        with contextlib.suppress(OSError):
            os.write(sink, data)
        return True

    def close(self) -> None:
        """Log what is left, if nobody else has read it, and let go."""
        self._share.cancel(self._alarm)
        with contextlib.ExitStack() as closing:
            for reader in self._readers:
                closing.callback(os.close, reader)
            if self._lock is None:
                with contextlib.suppress(FileNotFoundError):
                    self._look()
                self._share.cancel(self._alarm)
            for handle in (self._lock, self._sink):
                if handle is not None:
                    closing.callback(os.close, handle)
            for reader in self._readers:
                self._share.unregister(reader)
                while self._sink is not None and self._copy(reader, self._sink):
                    pass
