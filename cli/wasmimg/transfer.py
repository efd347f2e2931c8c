"""How a push or pull looks on stderr: one line a blob, and on a terminal one that moves."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmimg_images.registry.progress import Progress

_INTERVAL: Final = 0.1
_STEP: Final = 1000.0
_ERASE: Final = "\r\033[K"
_WORDS: Final = {"exists": "already there", "mounted": "mounted from another repository"}


class TransferLines:
    """Shows progress; called from several threads at once."""

    def __init__(self, done: str, *, quiet: bool) -> None:
        self._done = done
        self._quiet = quiet
        self._moving = sys.stderr.isatty() and not quiet
        self._guard = threading.Lock()
        self._running: dict[str, Progress] = {}
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take one report."""
        if self._quiet:
            return
        with self._guard:
            key = str(progress.descriptor.digest)
            if progress.state == "running":
                self._running[key] = progress
                self._move()
                return
            self._running.pop(key, None)
            word = _WORDS.get(progress.state, self._done)
            erase = _ERASE if self._moving else ""
            line = f"{erase} {progress.descriptor.digest.short}  {word}"
            print(f"{line}  {size(progress.descriptor.size)}", file=sys.stderr, flush=True)

    def _move(self) -> None:
        now = time.monotonic()
        if not self._moving or now - self._last < _INTERVAL:
            return
        self._last = now
        done = sum(p.done for p in self._running.values())
        total = sum(p.descriptor.size for p in self._running.values())
        line = f"{_ERASE} {size(done)} of {size(total)}"
        print(line, end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the moving line away."""
        if self._moving:
            print(_ERASE, end="", file=sys.stderr, flush=True)


def size(count: float) -> str:
    """Write a number of bytes as Docker does: 68.82kB, 1.07GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < _STEP:
            return f"{count:.4g}{unit}"
        count /= _STEP
    return f"{count:.4g}TB"
