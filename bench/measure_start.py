"""Time from `wasmimg run` to the first HTTP 200, caches warm."""

from __future__ import annotations

import time
from typing import Final

from rows import Row, repeated
from stage import IMAGE, answers, free_port, image, until, wasmimg

RUNS: Final = 15


def measure() -> list[Row]:
    """Start the service on the bridge network with a published port, again and again.

    One container stays up meanwhile, so that the zygote and the network are warm too.
    """
    image()
    warm = wasmimg("run", "-d", "--rm", IMAGE)
    try:
        median = repeated(_first_answer, RUNS)
    finally:
        wasmimg("stop", warm)
    return [
        Row("start.first_answer_ms", "ms", "wasmimg run, bridge", RUNS, median, target="<= 200")
    ]


def _first_answer() -> float:
    port = free_port()
    begin = time.monotonic()
    name = wasmimg("run", "-d", "--rm", "-p", f"127.0.0.1:{port}:8080", IMAGE)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/"), "the first answer")
        return (time.monotonic() - begin) * 1000
    finally:
        wasmimg("stop", name)
