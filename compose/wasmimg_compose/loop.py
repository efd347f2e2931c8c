"""What a process waits for: descriptors that turn ready and moments that come, each with a call.

Each owner waits by a share of the loop, so that a call of one that fails is told to whoever made
the share instead of ending the loop, and an owner that goes leaves nothing to be called.
"""

from __future__ import annotations

import contextlib
import selectors
from typing import TYPE_CHECKING, Final

from wasmimg_compose.alarms import Alarms

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import FileDescriptorLike

    from wasmimg_compose.alarms import Alarm

#: Seconds: epoll_wait(2) counts milliseconds in 32 bits.
LONGEST_SLEEP: Final = 86400.0


class Loop:
    """The descriptors and alarms of all shares."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.alarms = Alarms()

    def share(self, failed: Callable[[Exception], None]) -> Share:
        """Make a share; `failed` is called with what one of its calls raised."""
        return Share(self, failed)

    def turn(self, longest: float = LONGEST_SLEEP) -> None:
        """Wait until something is due, `longest` seconds at most, and make the calls that are."""
        left = self.alarms.until_next()
        for key, _ in self.selector.select(longest if left is None else min(left, longest)):
            # A call before it may have dropped it, and its number may be another's by now.
            if self.selector.get_map().get(key.fd) is key:
                call: Callable[[], None] = key.data
                call()
        self.alarms.ring()

    @property
    def has_alarms(self) -> bool:
        """Whether any call is set."""
        return self.alarms.until_next() is not None

    def close(self) -> None:
        """Close the selector; what it waited for is its owners'."""
        self.selector.close()


class Share:
    """One owner's descriptors and alarms; once closed it waits for nothing any more."""

    def __init__(self, loop: Loop, failed: Callable[[Exception], None]) -> None:
        self._loop, self._failed = loop, failed
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._alarms: set[Alarm] = set()
        self._closed = False

    def register(self, what: FileDescriptorLike, call: Callable[[], object]) -> None:
        """Make the call whenever there is something to read."""
        if self._closed:
            return
        key = self._loop.selector.register(what, selectors.EVENT_READ, lambda: self._guarded(call))
        self._keys[key.fd] = key

    def unregister(self, what: FileDescriptorLike) -> None:
        """Don't wait for it any more; nothing happens if nobody does."""
        for fd, key in list(self._keys.items()):
            if key.fileobj == what:
                del self._keys[fd]
                self._drop(key)

    def set(self, delay: float, call: Callable[[], object]) -> Alarm:
        """Make the call once, in `delay` seconds."""
        alarm = self._loop.alarms.set(delay, lambda: self._ring(alarm, call))
        self._alarms.add(alarm)
        if self._closed:
            self.cancel(alarm)
        return alarm

    def cancel(self, alarm: Alarm | None) -> None:
        """Don't make that call; nothing happens if it was made."""
        if alarm is not None:
            self._alarms.discard(alarm)
            self._loop.alarms.cancel(alarm)

    def close(self) -> None:
        """Drop all of it."""
        self._closed = True
        for alarm in list(self._alarms):
            self.cancel(alarm)
        while self._keys:
            _, key = self._keys.popitem()
            self._drop(key)

    def _drop(self, key: selectors.SelectorKey) -> None:
        with contextlib.suppress(KeyError):
            if self._loop.selector.get_map().get(key.fd) is key:
                self._loop.selector.unregister(key.fd)

    def _ring(self, alarm: Alarm, call: Callable[[], object]) -> None:
        self._alarms.discard(alarm)
        self._guarded(call)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this owner's alone
            self._failed(error)
