"""The four clocks of the snapshot."""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import struct
import time

from wasmimg_shim.wasi.errno import INVAL
from wasmimg_shim.wasi.function import host
from wasmimg_shim.wasi.memory import Memory, Refused

__all__ = ["MONOTONIC", "REALTIME", "Clocks"]

REALTIME, MONOTONIC = 0, 1
#: `clockid` of the snapshot, in order
_CLOCKS = (
    time.CLOCK_REALTIME,
    time.CLOCK_MONOTONIC,
    time.CLOCK_PROCESS_CPUTIME_ID,
    time.CLOCK_THREAD_CPUTIME_ID,
)
_TIME = struct.Struct("<Q").pack_into


class Clocks:
    """Reads clocks; precision asked for is always given."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @host("clock_res_get", "ii")
    def clock_res_get(self, clock: int, result: int) -> None:
        if clock >= len(_CLOCKS):
            raise Refused(INVAL)
        self._memory.put_u64(result, max(1, int(time.clock_getres(_CLOCKS[clock]) * 1e9)))

    @host("clock_time_get", "iIi")
    def clock_time_get(self, clock: int, _precision: int, result: int) -> None:
        if clock >= len(_CLOCKS):
            raise Refused(INVAL)
        memory = self._memory
        if result + 8 > memory.size:  # inlined: a server asks for the time with each request
            memory.check(result, 8)
        _TIME(memory.view, result, time.clock_gettime_ns(_CLOCKS[clock]))
