"""`poll_oneoff` over one epoll set that is kept between calls.

What the guest asks for is kept in `subscriptions`; only what changed since the last call is told to
the kernel. Readiness is level-triggered, as poll(2)'s.
"""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import select
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from wasmimg_shim.wasi.errno import INVAL
from wasmimg_shim.wasi.function import Trap, host
from wasmimg_shim.wasi.memory import Memory, Refused
from wasmimg_shim.wasi.subscriptions import EVENT_BYTES, SUBSCRIPTION_BYTES, Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmimg_shim.wasi.fdtable import FdTable
    from wasmimg_shim.wasi.subscriptions import Watched

__all__ = ["MOST_SUBSCRIPTIONS", "Poll"]

MOST_SUBSCRIPTIONS = 1 << 20
_COUNT = struct.Struct("<I").pack_into
_FAILED = select.EPOLLERR | select.EPOLLHUP
#: what makes each direction ready
_READABLE = select.EPOLLIN | select.EPOLLRDHUP | _FAILED
_WRITABLE = select.EPOLLOUT | _FAILED
_READ_HANGUP = select.EPOLLHUP | select.EPOLLRDHUP
_ALIGNMENT = 8
#: epoll_wait(2) takes milliseconds as an int
_LONGEST = 2_000_000.0


class Poll:
    """The guest's one poller."""

    def __init__(self, memory: Memory, table: FdTable) -> None:
        self._memory = memory
        self._epoll = select.epoll()
        self._registered: dict[int, int] = {}
        self._raw = b""
        self._subscriptions = Subscriptions(table)
        table.on_change = self.forget

    def forget(self, host_fd: int) -> None:
        """The descriptor is about to be closed, or has lost rights."""
        before = self._registered.pop(host_fd, 0)
        if before:
            self._watch(host_fd, before, 0)
        self._subscriptions.forget(host_fd)
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
        memory.check(events, count * EVENT_BYTES)
        raw = memory.read(subscriptions, count * SUBSCRIPTION_BYTES)
        # An error or a file that is always ready is looked at anew each time: its number may have
        # been given to another descriptor since.
        if raw != self._raw or self._subscriptions.ready:
            self._raw = b""
            self._register(self._subscriptions.take(raw))
            self._raw = raw
        found = self._wait(count)
        content = b"".join(found)
        memory.view[events : events + len(content)] = content
        _COUNT(memory.view, result, len(found))

    def _wait(self, count: int) -> list[bytes]:
        """Block until at least one event is there."""
        subscriptions = self._subscriptions
        found = list(subscriptions.ready)
        if not subscriptions.timers:
            self._collect(found, 0 if found else -1, count)
            return found
        now = time.monotonic_ns()
        dues = [(timer.due(now), timer.event) for timer in subscriptions.timers.values()]
        first = min(dues)[0]
        while True:
            self._rest(found, 0 if found else max(first - now, 0), count)
            now = time.monotonic_ns()
            if now >= first:
                found.extend(event for due, event in dues if due <= now)
            if found:
                return found

    def _rest(self, found: list[bytes], ns: int, count: int) -> None:
        """Wait at most so long (or longer than anybody waits) for what is watched."""
        seconds = min(ns / 1e9, _LONGEST)
        if self._subscriptions.watched:
            self._collect(found, seconds, count)
        else:
            time.sleep(seconds)  # epoll counts in milliseconds, clock_nanosleep(2) does not

    def _collect(self, found: list[bytes], seconds: float, count: int) -> None:
        watched = self._subscriptions.watched
        for host_fd, mask in self._epoll.poll(seconds, count):
            if mask == select.EPOLLIN:
                found.append(watched[host_fd].read)
            else:
                _add(found, watched[host_fd], mask)

    def _register(self, changed: Iterable[int] | None) -> None:
        """Tell the kernel what changed; set apart what it can't watch."""
        registered = self._registered
        watched = self._subscriptions.watched
        if changed is None:
            changed = {*registered, *watched}
        for host_fd in changed:
            before = registered.get(host_fd, 0)
            wanted = watched.get(host_fd)
            mask = wanted.mask if wanted else 0
            if mask == before:
                continue
            try:
                self._watch(host_fd, before, mask)
            except PermissionError:
                self._subscriptions.always_ready(host_fd)
                continue
            if mask:
                registered[host_fd] = mask
            else:
                del registered[host_fd]

    def _watch(self, host_fd: int, before: int, mask: int) -> None:
        """Change one registration; another file may have taken the number (`stop_listening`)."""
        if not mask:
            with suppress(FileNotFoundError):
                self._epoll.unregister(host_fd)
        elif not before:
            self._epoll.register(host_fd, mask)
        else:
            try:
                self._epoll.modify(host_fd, mask)
            except FileNotFoundError:
                self._epoll.register(host_fd, mask)


def _add(found: list[bytes], watched: Watched, mask: int) -> None:
    if watched.read and mask & _READABLE:
        found.append(watched.read_hangup if mask & _READ_HANGUP else watched.read)
    if watched.write and mask & _WRITABLE:
        found.append(watched.write_hangup if mask & select.EPOLLHUP else watched.write)
