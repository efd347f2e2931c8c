"""Numbers, durations and sizes as Compose writes them: `80`, `1m30s`, `512m`, `1.5gb`.

Source: Compose specification, 11-extension (specifying durations, specifying byte values).
"""

from __future__ import annotations

import re
from typing import Final

from wasmimg_images.errors import InvalidInput

SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|µs|ms|s|m|h)")
#: Docker counts nanoseconds in 63 bits.
MOST_SECONDS: Final = (1 << 63) / 1e9
WHOLE: Final = re.compile(r"[0-9]{1,18}")
BYTES: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
#: Twice as much, memory and swap, still fits the kernel's 63 bits.
MOST_BYTES: Final = 1 << 61


def whole(text: str) -> int | None:
    """Read a number of at most 18 digits, those of ASCII; None for anything else."""
    return int(text) if WHOLE.fullmatch(text) else None


def seconds(text: str) -> float:
    """Read a duration; InvalidInput unless it is one or more numbers with units, and fits 64 bits of nanoseconds."""
    total, at = 0.0, 0
    for match in PART.finditer(text):
        if match.start() != at:
            break
        total += float(match.group(1)) * SECONDS[match.group(2)]
        at = match.end()
    if not text or at != len(text):
        raise InvalidInput(f"{text!r} is not a duration", hint="write for example 1m30s or 500ms")
    if total > MOST_SECONDS:
        raise InvalidInput(f"{text!r} is too long a time", hint="at most 292 years")
    return total


def size(text: str) -> int:
    """Read a number of bytes; InvalidInput unless it is a number with an optional unit."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is not a size", hint="write for example 512m or 1.5g")
    number = float(match.group(1)) * BYTES[match.group(2).lower()]
    if number > MOST_BYTES:
        raise InvalidInput(f"{text!r} is too large a size", hint=f"at most {MOST_BYTES >> 40}t")
    return int(number)
