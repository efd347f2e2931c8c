"""Memory of idle containers: proportional set size of all their processes (proc(5), smaps_rollup)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rows import Row
from stage import IMAGE, image, pid_of, wasmimg

CONTAINERS: Final = 10


def measure() -> list[Row]:
    """Start ten services, and divide the memory of their inits and shims by ten.

    The zygote and the supervisor are there once for all of them, and not counted.
    """
    image()
    names = [wasmimg("run", "-d", "--rm", IMAGE) for _ in range(CONTAINERS)]
    try:
        inits = [pid_of(name) for name in names]
        total = sum(_pss_kib(pid) for pid in {*inits, *map(_parent, inits)})
    finally:
        for name in names:
            wasmimg("stop", name)
    of = f"init and shim of one of {CONTAINERS} idle services"
    return [Row("density.pss_mib", "MiB", of, 1, total / CONTAINERS / 1024)]


def _parent(pid: int) -> int:
    """Name the process that made init: its shim."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
