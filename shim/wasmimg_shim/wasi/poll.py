"""`poll_oneoff` over one epoll set that is kept between calls.

A reactor asks for nearly the same subscriptions again and again: the parsed set is kept with the
raw bytes it came from, and with every event that it can give, packed. Only what changed since the
last call is told to the kernel. Readiness is level-triggered, as poll(2)'s.

What epoll refuses (regular files, folders) is always ready, as in poll(2).
"""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import select
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from wasmimg_shim.wasi import rights
from wasmimg_shim.wasi.clocks import MONOTONIC, REALTIME
from wasmimg_shim.wasi.errno import BADF, EXIST, INVAL, NOTCAPABLE, NOTSUP, SUCCESS
from wasmimg_shim.wasi.function import Trap, host
from wasmimg_shim.wasi.memory import Memory, Refused

if TYPE_CHECKING:
    from wasmimg_shim.wasi.fdtable import FdTable

__all__ = ["MOST_SUBSCRIPTIONS", "Poll"]

CLOCK, FD_READ, FD_WRITE = 0, 1, 2
SUBSCRIPTION_BYTES = 48
MOST_SUBSCRIPTIONS = 1 << 20
_ABSTIME = 1
_HANGUP = 1
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
_COUNT = struct.Struct("<I").pack_into
_READ = select.EPOLLIN | select.EPOLLRDHUP
_WRITE = select.EPOLLOUT
_FAILED = select.EPOLLERR | select.EPOLLHUP
#: what makes each direction ready
_READABLE = _READ | _FAILED
_WRITABLE = _WRITE | _FAILED
_INTEREST = {FD_READ: _READ, FD_WRITE: _WRITE}
_ALIGNMENT = 8
#: epoll_wait(2) takes milliseconds as an int
_LONGEST = 2_000_000.0


class _Watched:
    """What one host descriptor is watched for, and the events to give, as bytes by direction."""

    __slots__ = ("mask", "read", "read_hangup", "write", "write_hangup")

    def __init__(self) -> None:
        self.mask = 0
        self.read = self.read_hangup = b""
        self.write = self.write_hangup = b""


class _Timer:
    """A clock subscription; `due` is on the monotonic clock, in ns, set at each call."""

    __slots__ = ("clock", "event", "flags", "timeout")

    def __init__(self, userdata: int, clock: int, timeout: int, flags: int) -> None:
        self.event = _EVENT.pack(userdata, SUCCESS, CLOCK, 0, 0)
        self.clock = clock
        self.timeout = timeout
        self.flags = flags

    def due(self, now: int) -> int:
        if not self.flags & _ABSTIME:
            return now + self.timeout
        if self.clock == REALTIME:
            return now + self.timeout - time.time_ns()
        return self.timeout


class _Subscriptions:
    """A parsed list of subscriptions."""

    __slots__ = ("ready", "timers", "watched")

    def __init__(self) -> None:
        self.watched: dict[int, _Watched] = {}
        self.timers: list[_Timer] = []
        #: events that need no waiting: errors, and files that are always ready
        self.ready: list[bytes] = []


class Poll:
    """The guest's one poller."""

    def __init__(self, memory: Memory, table: FdTable) -> None:
        self._memory = memory
        self._table = table
        self._epoll = select.epoll()
        self._registered: dict[int, int] = {}
        self._raw = b""
        self._parsed = _Subscriptions()
        table.on_close = self.forget

    def forget(self, host_fd: int) -> None:
        """The descriptor is about to be closed: the kernel drops it, and its number may return."""
        self._registered.pop(host_fd, None)
        self._raw = b""

    # WasmEdge's edge-triggered form is never told of less than it asked for by the other
    @host("epoll_oneoff", "iiii")
    @host("poll_oneoff", "iiii")
    def poll_oneoff(self, subscriptions: int, events: int, count: int, result: int) -> None:
        memory = self._memory
        if subscriptions % _ALIGNMENT or events % _ALIGNMENT or result % 4:
            raise Trap("poll_oneoff was given a misaligned pointer")
        if not 0 < count <= MOST_SUBSCRIPTIONS:
            raise Refused(INVAL)
        memory.check(result, 4)
        memory.check(events, count * _EVENT.size)
        raw = memory.read(subscriptions, count * SUBSCRIPTION_BYTES)
        if raw != self._raw:
            self._raw = b""
            parsed = self._parse(raw)
            self._register(parsed)
            self._parsed = parsed
            # An error or a file that is always ready is looked at anew each time: a number may
            # have been given to another descriptor since.
            self._raw = b"" if parsed.ready else raw
        found = self._wait(self._parsed, count)
        content = b"".join(found)
        memory.view[events : events + len(content)] = content
        _COUNT(memory.view, result, len(found))

    def _wait(self, parsed: _Subscriptions, count: int) -> list[bytes]:
        """Block until at least one event is there; all that are, at most one a subscription."""
        found = list(parsed.ready)
        watched = parsed.watched
        if not parsed.timers:
            for host_fd, mask in self._epoll.poll(0 if found else -1, count):
                _add(found, watched[host_fd], mask)
            return found
        now = time.monotonic_ns()
        dues = [(timer.due(now), timer.event) for timer in parsed.timers]
        first = min(dues)[0]
        while True:
            self._rest(found, parsed, 0 if found else max(first - now, 0), count)
            now = time.monotonic_ns()
            found.extend(event for due, event in dues if due <= now)
            if found:
                return found

    def _rest(self, found: list[bytes], parsed: _Subscriptions, ns: int, count: int) -> None:
        """Wait at most so long (or longer than anybody waits) for what is watched."""
        seconds = min(ns / 1e9, _LONGEST)
        if not parsed.watched:
            time.sleep(seconds)  # epoll counts in milliseconds, clock_nanosleep(2) does not
            return
        for host_fd, mask in self._epoll.poll(seconds, count):
            _add(found, parsed.watched[host_fd], mask)

    def _parse(self, raw: bytes) -> _Subscriptions:
        parsed = _Subscriptions()
        table = self._table.open
        watched = parsed.watched
        for userdata, tag, what, timeout, _precision, flags in _SUBSCRIPTION.iter_unpack(raw):
            if tag == CLOCK:
                self._add_timer(parsed, userdata, what, timeout, flags)
                continue
            interest = _INTEREST.get(tag)
            if interest is None:
                raise Refused(INVAL)
            descriptor = table.get(what)
            if descriptor is None or not descriptor.rights & rights.POLL_FD_READWRITE:
                error = BADF if descriptor is None else NOTCAPABLE
                parsed.ready.append(_EVENT.pack(userdata, error, tag, 0, 0))
                continue
            found = watched.get(descriptor.host)
            if found is None:
                found = watched[descriptor.host] = _Watched()
            if found.mask & interest:
                parsed.ready.append(_EVENT.pack(userdata, EXIST, tag, 0, 0))
                continue
            found.mask |= interest
            event = _EVENT.pack(userdata, SUCCESS, tag, 1, 0)
            hangup = _EVENT.pack(userdata, SUCCESS, tag, 1, _HANGUP)
            if tag == FD_READ:
                found.read, found.read_hangup = event, hangup
            else:
                found.write, found.write_hangup = event, hangup
        return parsed

    @staticmethod
    def _add_timer(
        parsed: _Subscriptions, userdata: int, clock: int, timeout: int, flags: int
    ) -> None:
        """The two clocks of CPU time exist and can't be waited for, as in clock_nanosleep(2)."""
        if clock in {REALTIME, MONOTONIC}:
            parsed.timers.append(_Timer(userdata, clock, timeout, flags))
        else:
            error = NOTSUP if clock < 4 else INVAL  # noqa: PLR2004 -- preview 1 has four clocks
            parsed.ready.append(_EVENT.pack(userdata, error, CLOCK, 0, 0))

    def _register(self, parsed: _Subscriptions) -> None:
        """Tell the kernel what changed; move what it can't watch to the events that are ready."""
        registered = self._registered
        watched = parsed.watched
        for gone in [host_fd for host_fd in registered if host_fd not in watched]:
            del registered[gone]
            with suppress(FileNotFoundError):  # another file took the number: `stop_listening`
                self._epoll.unregister(gone)
        always: list[int] = []
        for host_fd, wanted in watched.items():
            before = registered.get(host_fd)
            if before == wanted.mask:
                continue
            try:
                self._watch(host_fd, wanted.mask, known=before is not None)
            except PermissionError:
                always.append(host_fd)
            else:
                registered[host_fd] = wanted.mask
        for host_fd in always:
            ready = watched.pop(host_fd)
            parsed.ready.extend(event for event in (ready.read, ready.write) if event)

    def _watch(self, host_fd: int, mask: int, *, known: bool) -> None:
        if known:
            try:
                self._epoll.modify(host_fd, mask)
            except FileNotFoundError:
                self._epoll.register(host_fd, mask)
        else:
            self._epoll.register(host_fd, mask)


def _add(found: list[bytes], watched: _Watched, mask: int) -> None:
    hangup = mask & (select.EPOLLHUP | select.EPOLLRDHUP)
    if watched.read and mask & _READABLE:
        found.append(watched.read_hangup if hangup else watched.read)
    if watched.write and mask & _WRITABLE:
        found.append(watched.write_hangup if mask & select.EPOLLHUP else watched.write)
