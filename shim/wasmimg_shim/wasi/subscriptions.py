"""What a guest polls for, kept from call to call as a set of its 48-byte subscriptions.

A reactor asks for nearly the same things again and again. Only the subscriptions that were not in
the last list are parsed and only those that are gone are dropped, so a call costs what has changed.
Each subscription is kept with the events that it can give, packed.

A list with something odd in it (an unknown descriptor, one direction twice, a file that is always
ready) is parsed whole, as is the one after it.
"""

from __future__ import annotations

import select
import struct
import time
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import rights
from wasmimg_shim.wasi.clocks import MONOTONIC, REALTIME
from wasmimg_shim.wasi.errno import BADF, EXIST, INVAL, NOTCAPABLE, NOTSUP, SUCCESS
from wasmimg_shim.wasi.memory import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmimg_shim.wasi.fdtable import FdTable

__all__ = ["EVENT_BYTES", "SUBSCRIPTION_BYTES", "Subscriptions", "Timer", "Watched"]

CLOCK, FD_READ, FD_WRITE = 0, 1, 2
SUBSCRIPTION_BYTES = 48
_ABSTIME = 1
_HANGUP = 1
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
EVENT_BYTES = _EVENT.size
_INTEREST = {FD_READ: select.EPOLLIN | select.EPOLLRDHUP, FD_WRITE: select.EPOLLOUT}


class Watched:
    """What one host descriptor is watched for, and the events to give, as bytes by direction."""

    __slots__ = ("mask", "read", "read_hangup", "subscribed", "write", "write_hangup")

    def __init__(self) -> None:
        self.mask = 0
        self.read = self.read_hangup = b""
        self.write = self.write_hangup = b""
        #: direction to the subscription that it comes from
        self.subscribed: dict[int, bytes] = {}

    def add(self, subscription: bytes, userdata: int, direction: int) -> None:
        """Watch one direction."""
        event = _EVENT.pack(userdata, SUCCESS, direction, 1, 0)
        hangup = _EVENT.pack(userdata, SUCCESS, direction, 1, _HANGUP)
        if direction == FD_READ:
            self.read, self.read_hangup = event, hangup
        else:
            self.write, self.write_hangup = event, hangup
        self.mask |= _INTEREST[direction]
        self.subscribed[direction] = subscription

    def remove(self, direction: int) -> None:
        """Watch one direction no more."""
        if direction == FD_READ:
            self.read = self.read_hangup = b""
        else:
            self.write = self.write_hangup = b""
        self.mask &= ~_INTEREST[direction]
        del self.subscribed[direction]


class Timer:
    """A clock subscription."""

    __slots__ = ("_clock", "_flags", "_timeout", "event")

    def __init__(self, userdata: int, clock: int, timeout: int, flags: int) -> None:
        self.event = _EVENT.pack(userdata, SUCCESS, CLOCK, 0, 0)
        self._clock = clock
        self._timeout = timeout
        self._flags = flags

    def due(self, now: int) -> int:
        """When it fires, in ns of the monotonic clock, which is at `now`."""
        if not self._flags & _ABSTIME:
            return now + self._timeout
        if self._clock == REALTIME:
            return now + self._timeout - time.time_ns()
        return self._timeout


class Subscriptions:
    """The list that was asked for last."""

    def __init__(self, table: FdTable) -> None:
        self._table = table
        self._known: set[bytes] = set()
        self._places: dict[bytes, tuple[int, int]] = {}
        self._whole = False
        self.watched: dict[int, Watched] = {}
        self.timers: dict[bytes, Timer] = {}
        #: events that need no waiting: errors, and files that are always ready
        self.ready: list[bytes] = []

    def take(self, raw: bytes) -> Iterable[int] | None:
        """Replace the list; returns the host descriptors whose interest changed, None for any.

        Refused(INVAL): a subscription is of no known kind.
        """
        listed = [
            raw[at : at + SUBSCRIPTION_BYTES] for at in range(0, len(raw), SUBSCRIPTION_BYTES)
        ]
        wanted = set(listed)
        if not self._whole and not self.ready and len(wanted) == len(listed):
            self._whole = True  # unless nothing odd is met below
            changed = {self._drop(gone) for gone in self._known - wanted}
            changed.update([self._add(new) for new in wanted - self._known])
            self._known = wanted
            if not self.ready:
                self._whole = False
                changed.discard(-1)
                return changed
        self._take_whole(listed)
        return None

    def forget(self, host: int) -> None:
        """The descriptor is closed or has other rights: what was parsed of it is void."""
        watched = self.watched.pop(host, None)
        if watched is not None:
            for subscription in watched.subscribed.values():
                self._known.discard(subscription)
                del self._places[subscription]

    def always_ready(self, host: int) -> None:
        """Poll(2) calls files ready that epoll refuses to watch."""
        watched = self.watched[host]
        self.ready.extend(event for event in (watched.read, watched.write) if event)
        self.forget(host)

    def _take_whole(self, listed: list[bytes]) -> None:
        self._whole = True
        self._places.clear()
        self.watched.clear()
        self.timers.clear()
        self.ready.clear()
        for subscription in listed:
            self._add(subscription)
        self._known = set(listed)
        self._whole = len(self._known) != len(listed)

    def _drop(self, subscription: bytes) -> int:
        place = self._places.pop(subscription, None)
        if place is None:
            del self.timers[subscription]
            return -1
        host, direction = place
        watched = self.watched[host]
        watched.remove(direction)
        if not watched.mask:
            del self.watched[host]
        return host

    def _add(self, subscription: bytes) -> int:
        """Parse one; returns the host descriptor that it concerns, or -1."""
        userdata, tag, what, timeout, _, flags = _SUBSCRIPTION.unpack(subscription)
        if tag == CLOCK:
            self._add_timer(subscription, userdata, what, timeout, flags)
            return -1
        if tag not in _INTEREST:
            raise Refused(INVAL)
        descriptor = self._table.open.get(what)
        if descriptor is None or not descriptor.rights & rights.POLL_FD_READWRITE:
            return self._fail(userdata, tag, BADF if descriptor is None else NOTCAPABLE)
        host = descriptor.host
        watched = self.watched.get(host)
        if watched is None:
            watched = self.watched[host] = Watched()
        elif tag in watched.subscribed:
            return self._fail(userdata, tag, EXIST)
        watched.add(subscription, userdata, tag)
        self._places[subscription] = host, tag
        return host

    def _add_timer(
        self, subscription: bytes, userdata: int, clock: int, timeout: int, flags: int
    ) -> None:
        """The two clocks of CPU time exist and can't be waited for, as in clock_nanosleep(2)."""
        if clock not in {REALTIME, MONOTONIC}:
            self._fail(userdata, CLOCK, NOTSUP if clock < 4 else INVAL)  # noqa: PLR2004 -- preview 1 has four clocks
            return
        while subscription in self.timers:  # asked for twice, to be answered twice
            subscription += b"+"
        self.timers[subscription] = Timer(userdata, clock, timeout, flags)

    def _fail(self, userdata: int, tag: int, error: int) -> int:
        self.ready.append(_EVENT.pack(userdata, error, tag, 0, 0))
        return -1
