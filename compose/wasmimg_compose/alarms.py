"""Functions to be called later, for a loop that asks how long it may sleep."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm(NamedTuple):
    """One call to be made; `number` tells alarms of the same moment apart."""

    when: float
    number: int


class Alarms:
    """The calls to be made, soonest first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._queue: list[Alarm] = []
        self._calls: dict[Alarm, Callable[[], None]] = {}

    def set(self, delay: float, call: Callable[[], None]) -> Alarm:
        """Call a function in `delay` seconds."""
        alarm = Alarm(self._clock() + max(delay, 0.0), next(self._numbers))
        heapq.heappush(self._queue, alarm)
        self._calls[alarm] = call
        return alarm

    def cancel(self, alarm: Alarm | None) -> None:
        """Don't make that call; nothing happens if it was made."""
        if alarm is not None:
            self._calls.pop(alarm, None)

    def until_next(self) -> float | None:
        """Tell how many seconds there are until the next call, None without any."""
        while self._queue and self._queue[0] not in self._calls:
            heapq.heappop(self._queue)
        return max(0.0, self._queue[0].when - self._clock()) if self._queue else None

    def ring(self) -> None:
        """Make the calls that are due now; what they set waits for the next time, even without delay.

        So no call that sets itself again keeps its caller from all else.
        """
        now, first_new = self._clock(), next(self._numbers)
        while self._queue and self._queue[0] < (now, first_new):
            call = self._calls.pop(heapq.heappop(self._queue), None)
            if call is not None:
                call()
