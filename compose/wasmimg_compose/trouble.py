"""What goes wrong in a process that has no caller: written to its log, and tried again later."""

from __future__ import annotations

import contextlib
import os
import traceback
from typing import Final

LOG: Final = 2
#: Seconds until what has failed is tried again: at first, and after many times.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


def note(error: Exception) -> None:
    """Write an error's trace to the log, which is standard error; lost if that is full or closed."""
    with contextlib.suppress(OSError):
        os.write(LOG, "".join(traceback.format_exception(error)).encode(errors="replace"))


def next_pause(last: float = 0.0) -> float:
    """Tell how many seconds to wait before the next try, `last` before the one that has failed."""
    return min(last * 2, LONGEST_PAUSE) if last else FIRST_PAUSE
