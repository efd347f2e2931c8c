"""Sizes as Docker prints them: powers of a thousand, three digits."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_STEP: Final = 1000


def human(size: float) -> str:
    """Write a number of bytes."""
    unit = 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    return f"{size:.3g}{_UNITS[unit]}"
