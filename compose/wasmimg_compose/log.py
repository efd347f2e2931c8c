"""Reading a container's log: the file that both of its streams are appended to."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK: Final = 1 << 16
#: Seconds between looks at a followed log.
INTERVAL: Final = 0.05


def chunks(
    path: Path, *, tail: int | None = None, follow: Callable[[], bool] | None = None
) -> Iterator[bytes]:
    """Give the log's bytes as they were written; `tail` begins with the last lines.

    `follow` says whether there may be more; what came before it said no is given as well. A log
    that is not there is empty.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if tail is not None:
            os.lseek(handle, _start_of_last(handle, tail), os.SEEK_SET)
        more = True
        while more:
            more = follow is not None and follow()
            while data := os.read(handle, CHUNK):
                yield data
            if more:
                time.sleep(INTERVAL)
    finally:
        os.close(handle)


def _start_of_last(handle: int, lines: int) -> int:
    """Find where the last `lines` lines begin, reading from the end."""
    end = os.fstat(handle).st_size
    if lines == 0:
        return end
    position, left = end, lines
    while position > 0:
        size = min(CHUNK, position)
        position -= size
        data = os.pread(handle, size, position)
        # The last line's own end is no line of its own.
        place = len(data) - 1 if position + size == end and data.endswith(b"\n") else len(data)
        while (place := data.rfind(b"\n", 0, place)) >= 0:
            left -= 1
            if not left:
                return position + place + 1
    return 0
