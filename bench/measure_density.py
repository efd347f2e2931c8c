"""Memory of idle containers: proportional set size of all their processes (proc(5), smaps_rollup)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rows import Row
from stage import IMAGE, image, wasmimg

CONTAINERS: Final = 10


def measure() -> list[Row]:
    """Start ten services and divide the memory of every new process by ten."""
    image()
    warm = wasmimg("run", "-d", "--rm", IMAGE)
    before = _processes()
    names = [wasmimg("run", "-d", "--rm", IMAGE) for _ in range(CONTAINERS)]
    try:
        total = sum(_pss_kib(pid) for pid in _processes() - before)
    finally:
        for name in (*names, warm):
            wasmimg("stop", name)
    of = f"one of {CONTAINERS} idle services, shim and supervisor included"
    return [Row("density.pss_mib", "MiB", of, 1, total / CONTAINERS / 1024)]


def _processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
