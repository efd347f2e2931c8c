"""What goes wrong in a process that has no caller: written to its log, and never in its way."""

from __future__ import annotations

import contextlib
import os
import traceback
from typing import Final

LOG: Final = 2


def note(error: Exception) -> None:
    """Write an error's trace to the log, which is standard error; lost if that is full or closed."""
    with contextlib.suppress(OSError):
        os.write(LOG, "".join(traceback.format_exception(error)).encode(errors="replace"))
