"""Durations and sizes as Compose writes them: `1m30s`, `512m`, `1.5gb`.

Source: Compose specification, 11-extension (specifying durations, specifying byte values).
"""

from __future__ import annotations

import re
from typing import Final

from wasmimg_images.errors import InvalidInput

SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART: Final = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h)")
BYTES: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def seconds(text: str) -> float:
    """Read a duration; InvalidInput unless it is one or more numbers with units."""
    total, at = 0.0, 0
    for match in PART.finditer(text):
        if match.start() != at:
            break
        total += float(match.group(1)) * SECONDS[match.group(2)]
        at = match.end()
    if not text or at != len(text):
        raise InvalidInput(f"{text!r} is not a duration", hint="write for example 1m30s or 500ms")
    return total


def size(text: str) -> int:
    """Read a number of bytes; InvalidInput unless it is a number with an optional unit."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is not a size", hint="write for example 512m or 1.5g")
    return int(float(match.group(1)) * BYTES[match.group(2).lower()])
