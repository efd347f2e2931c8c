"""What the terminal shows: progress lines on stderr, tables on stdout."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

GREEN: Final = "\033[32m"
PLAIN: Final = "\033[0m"
#: Words that say that something is under way, not done.
ONGOING: Final = ("ing",)
STEPS: Final = (
    (86400 * 365, "year"),
    (86400 * 30, "month"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)


def progress(kind: str, name: str, what: str) -> None:
    """Print one step as Docker Compose does: ` Container shop-web-1  Started`."""
    line = f" {kind} {name}  {what}"
    if sys.stderr.isatty():
        done = what == "Running" or not what.endswith(ONGOING)
        line = f"{GREEN} ✔{PLAIN}{line}" if done else f"  {line}"
    print(line, file=sys.stderr, flush=True)


def warning(text: str) -> None:
    """Print a warning in one line."""
    print(f"wasmimg: warning: {text}", file=sys.stderr, flush=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as Docker does: three spaces between, headings in capitals."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        print("   ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def ago(seconds: float) -> str:
    """Say how long ago a moment was, in its largest unit."""
    passed = max(0, int(time.time() - seconds))
    for length, unit in STEPS:
        if passed >= length:
            count = passed // length
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{passed} second{'' if passed == 1 else 's'} ago"
