"""Building the service's image: all of it, nothing changed, and how large it is."""

from __future__ import annotations

import json
import shutil
import time
from typing import Final

from rows import Row, repeated
from stage import IMAGE, SERVICE, STATE, wasmimg

RUNS: Final = 9


def measure() -> list[Row]:
    """Build once with empty caches, then unchanged."""
    for folder in ("home", "cache"):
        shutil.rmtree(STATE / folder, ignore_errors=True)
    full = _build()
    unchanged = repeated(_build, RUNS)
    size = next(
        image["size"]
        for image in json.loads(wasmimg("images", "--json"))
        if IMAGE in image["reference"]
    )
    return [
        Row("build.full_s", "s", "empty caches", 1, full),
        Row("build.unchanged_s", "s", "nothing changed", RUNS, unchanged, target="<= 0.5"),
        Row("image.compressed_mb", "MB", "the service's image", 1, size / 1e6, target="<= 0.2"),
    ]


def _build() -> float:
    begin = time.monotonic()
    wasmimg("build", str(SERVICE), "-t", IMAGE)
    return time.monotonic() - begin
