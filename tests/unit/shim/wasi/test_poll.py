from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.guest import Guest, Preopen
from wasmimg_shim.wasi import errno, fdtable, rights
from wasmimg_shim.wasi.fdtable import Descriptor
from wasmimg_testing.wasi import MEMORY, Stage, Trapped

CLOCK, READ, WRITE = 0, 1, 2
REALTIME, MONOTONIC = 0, 1
ABSTIME = 1
HANGUP = 1
SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
EVENT = struct.Struct("<QHB5xQH6x")


class Event(NamedTuple):
    userdata: int
    error: int
    kind: int
    size: int
    flags: int


def ready(stage: Stage, *subscriptions: tuple[int, ...]) -> list[Event]:
    """Poll; each subscription is (userdata, tag, fd or clock[, timeout, precision, flags])."""
    packed = b"".join(SUBSCRIPTION.pack(*(*s, 0, 0, 0)[:6]) for s in subscriptions)
    events, count = stage.room(32 * len(subscriptions)), stage.room()
    stage.ok("poll_oneoff", stage.put(packed), events, len(subscriptions), count)
    return [
        Event(*EVENT.unpack_from(stage.memory, events + 32 * index))
        for index in range(stage.u32(count))
    ]


def adopt(stage: Stage, sock: socket.socket) -> int:
    return stage.world._table.add(Descriptor(sock.detach(), fdtable.SOCKET_STREAM, rights.SOCKET))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "f").write_text("content")
    return Stage(Guest(("t",), preopens=(Preopen("/", str(tmp_path)),))).open()


@pytest.fixture
def pair(stage: Stage) -> Iterator[tuple[int, socket.socket]]:
    ours, theirs = socket.socketpair()
    fd = adopt(stage, ours)
    with theirs:
        yield fd, theirs


def test_readiness_is_level_triggered(stage: Stage, pair: tuple[int, socket.socket]) -> None:
    fd, peer = pair
    timer = (9, CLOCK, MONOTONIC, 0)
    assert ready(stage, (7, READ, fd), timer) == [Event(9, 0, CLOCK, 0, 0)]
    peer.send(b"abc")
    for _ in range(3):
        assert ready(stage, (7, READ, fd)) == [Event(7, 0, READ, 1, 0)]
    assert stage.read(fd) == b"abc"
    assert ready(stage, (7, READ, fd), timer) == [Event(9, 0, CLOCK, 0, 0)]


def test_both_directions_of_one_descriptor(stage: Stage, pair: tuple[int, socket.socket]) -> None:
    fd, peer = pair
    assert ready(stage, (1, READ, fd), (2, WRITE, fd)) == [Event(2, 0, WRITE, 1, 0)]
    peer.send(b"x")
    assert ready(stage, (1, READ, fd), (2, WRITE, fd)) == [
        Event(1, 0, READ, 1, 0),
        Event(2, 0, WRITE, 1, 0),
    ]


def test_a_peer_that_left_hangs_up(stage: Stage, pair: tuple[int, socket.socket]) -> None:
    fd, peer = pair
    peer.shutdown(socket.SHUT_WR)
    assert ready(stage, (1, READ, fd)) == [Event(1, 0, READ, 1, HANGUP)]
    peer.close()
    assert ready(stage, (1, READ, fd), (2, WRITE, fd)) == [
        Event(1, 0, READ, 1, HANGUP),
        Event(2, 0, WRITE, 1, HANGUP),
    ]


def test_errors_come_as_events(stage: Stage, pair: tuple[int, socket.socket]) -> None:
    fd, _ = pair
    events = ready(
        stage, (1, READ, 99), (2, WRITE, fd), (3, WRITE, fd), (4, CLOCK, 2, 10), (5, CLOCK, 9, 10)
    )
    assert {(event.userdata, event.error) for event in events} == {
        (1, errno.BADF), (2, 0), (3, errno.EXIST), (4, errno.NOTSUP), (5, errno.INVAL),
    }  # fmt: skip


def test_a_descriptor_without_the_right(stage: Stage, pair: tuple[int, socket.socket]) -> None:
    fd, _ = pair
    stage.ok("fd_fdstat_set_rights", fd, rights.FD_READ, 0)
    assert ready(stage, (1, READ, fd)) == [Event(1, errno.NOTCAPABLE, READ, 0, 0)]


def test_an_unknown_number_may_become_known(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    fd = max(stage.world._table.open) + 1
    assert ready(stage, (1, WRITE, fd)) == [Event(1, errno.BADF, WRITE, 0, 0)]
    assert adopt(stage, ours) == fd
    assert ready(stage, (1, WRITE, fd)) == [Event(1, 0, WRITE, 1, 0)]
    theirs.close()


def test_a_number_that_is_used_again_is_another_file(stage: Stage) -> None:
    first, peer = socket.socketpair()
    fd = adopt(stage, first)
    peer.send(b"x")
    assert ready(stage, (1, READ, fd)) == [Event(1, 0, READ, 1, 0)]
    stage.ok("fd_close", fd)
    second, silent = socket.socketpair()
    assert adopt(stage, second) == fd
    assert ready(stage, (1, READ, fd), (2, CLOCK, MONOTONIC, 0)) == [Event(2, 0, CLOCK, 0, 0)]
    peer.close()
    silent.close()


def test_files_are_always_ready(stage: Stage) -> None:
    _, fd = stage.open_path(3, "f", base=rights.FD_READ | rights.POLL_FD_READWRITE)
    for _ in range(2):
        assert ready(stage, (1, READ, fd)) == [Event(1, 0, READ, 1, 0)]
        assert ready(stage, (1, CLOCK, MONOTONIC, 10**12), (2, WRITE, fd)) == [
            Event(2, 0, WRITE, 1, 0)
        ]


@pytest.mark.parametrize("clock", [REALTIME, MONOTONIC])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_clocks_anywhere_in_the_list(
    stage: Stage, pair: tuple[int, socket.socket], clock: int, place: int
) -> None:
    fd, _ = pair
    others = [(1, READ, fd), (2, CLOCK, MONOTONIC, 10**15)]
    others.insert(place, (3, CLOCK, clock, 20_000_000))
    began = time.monotonic_ns()
    assert ready(stage, *others) == [Event(3, 0, CLOCK, 0, 0)]
    assert time.monotonic_ns() - began >= 20_000_000


@pytest.mark.parametrize(
    ("clock", "now"), [(REALTIME, time.time_ns), (MONOTONIC, time.monotonic_ns)]
)
def test_absolute_times(stage: Stage, clock: int, now: Callable[[], int]) -> None:
    due = now() + 15_000_000
    assert ready(stage, (1, CLOCK, clock, due, 0, ABSTIME)) == [Event(1, 0, CLOCK, 0, 0)]
    assert now() >= due
    assert ready(stage, (1, CLOCK, clock, due, 0, ABSTIME)) == [Event(1, 0, CLOCK, 0, 0)]


def test_all_clocks_that_are_due_are_told(stage: Stage) -> None:
    events = ready(stage, *[(number, CLOCK, MONOTONIC, number) for number in range(5)])
    assert {event.userdata for event in events} >= {0}
    past = [(number, CLOCK, MONOTONIC, 0, 0, ABSTIME) for number in range(5)]
    assert sorted(event.userdata for event in ready(stage, *past)) == list(range(5))
    twice = [(7, CLOCK, MONOTONIC, 0)] * 2
    for _ in range(2):
        assert ready(stage, *twice) == [Event(7, 0, CLOCK, 0, 0)] * 2
    assert ready(stage, twice[0]) == [Event(7, 0, CLOCK, 0, 0)]


def test_what_can_not_be_polled(stage: Stage) -> None:
    at = stage.room(64)
    assert stage.call("poll_oneoff", at, at, 0, at) == errno.INVAL
    assert stage.call("poll_oneoff", at, at, 1 << 21, at) == errno.INVAL
    assert stage.call("poll_oneoff", MEMORY - 40, at, 1, at) == errno.FAULT
    assert stage.call("poll_oneoff", at, MEMORY - 24, 1, at) == errno.FAULT
    stage.memory[at + 8] = 3
    assert stage.call("poll_oneoff", at, at, 1, at) == errno.INVAL


def test_a_list_that_is_refused_leaves_nothing_behind(
    stage: Stage, pair: tuple[int, socket.socket]
) -> None:
    fd, peer = pair
    peer.send(b"x")
    assert ready(stage, (1, READ, fd)) == [Event(1, 0, READ, 1, 0)]
    bad = stage.put(SUBSCRIPTION.pack(2, 5, fd, 0, 0, 0) + SUBSCRIPTION.pack(3, WRITE, fd, 0, 0, 0))
    assert stage.call("poll_oneoff", bad, stage.room(64), 2, stage.room()) == errno.INVAL
    assert ready(stage, (4, WRITE, fd)) == [Event(4, 0, WRITE, 1, 0)]


def test_rights_that_are_lost_end_a_watch(stage: Stage, pair: tuple[int, socket.socket]) -> None:
    fd, peer = pair
    peer.send(b"x")
    assert ready(stage, (1, READ, fd)) == [Event(1, 0, READ, 1, 0)]
    stage.ok("fd_fdstat_set_rights", fd, rights.FD_READ, 0)
    assert ready(stage, (1, READ, fd)) == [Event(1, errno.NOTCAPABLE, READ, 0, 0)]


@pytest.mark.parametrize("pointers", [(4, 0, 0), (0, 4, 0), (0, 0, 2)])
def test_misaligned_pointers_trap(stage: Stage, pointers: tuple[int, int, int]) -> None:
    at = stage.room(128)
    first, second, third = (at + offset for offset in pointers)
    with pytest.raises(Trapped):
        stage.call("poll_oneoff", first, second, 1, third)


class Model(NamedTuple):
    """One step: what is done to a pair of sockets before the next poll."""

    action: str
    which: int
    directions: frozenset[tuple[int, int]]


STEPS = st.lists(
    st.builds(
        Model,
        st.sampled_from(["send", "drain", "fill", "half-close", "close", "nothing"]),
        st.integers(0, 3),
        st.frozensets(st.tuples(st.integers(0, 3), st.sampled_from([READ, WRITE])), min_size=1),
    ),
    max_size=12,
)


@given(STEPS)
def test_events_are_those_of_poll(steps: list[Model]) -> None:
    """The kept epoll set against poll(2) asked anew, over random changes of interest and state."""
    stage = Stage().open()
    pairs = [socket.socketpair() for _ in range(4)]
    fds = []
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.setblocking(False)
        fds.append(stage.world._table.add(Descriptor(ours.fileno(), 6, rights.SOCKET)))
    try:
        for step in steps:
            act(step, pairs)
            oracle = select.poll()
            interest: dict[int, int] = {}
            for which, direction in step.directions:
                mask = select.POLLIN | select.POLLRDHUP if direction == READ else select.POLLOUT
                interest[which] = interest.get(which, 0) | mask
            for which, mask in interest.items():
                oracle.register(pairs[which][0], mask)
            expected = {
                (which, direction)
                for host, mask in oracle.poll(0)
                for which, direction in step.directions
                if pairs[which][0].fileno() == host
                and mask & (0x2019 if direction == READ else 0x001C)
            }
            stage._next = 64
            subscriptions = [
                (which << 2 | direction, direction, fds[which])
                for which, direction in step.directions
            ]
            events = ready(stage, *subscriptions, (1 << 60, CLOCK, MONOTONIC, 0))
            found = {(event.userdata >> 2, event.kind) for event in events if event.kind != CLOCK}
            assert found == expected
    finally:
        for ours, theirs in pairs:
            theirs.close()
            ours.detach()  # the guest's table has it


def act(step: Model, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    ours, theirs = pairs[step.which]
    try:
        match step.action:
            case "send":
                theirs.send(b"x")
            case "drain":
                ours.recv(1 << 20)
                theirs.recv(1 << 20)
            case "fill":
                while ours.send(bytes(1 << 16)):
                    pass
            case "half-close":
                theirs.shutdown(socket.SHUT_WR)
            case "close":
                theirs.close()
            case _:
                pass
    except OSError:
        pass


def test_the_kernel_keeps_the_set_between_calls(
    stage: Stage, pair: tuple[int, socket.socket]
) -> None:
    """A second poll of the same subscriptions registers nothing: it works on a frozen set."""
    fd, peer = pair
    peer.send(b"x")
    poller = stage.world._functions["poll_oneoff"][0].call.__self__  # type: ignore[attr-defined] # a bound method has it
    ready(stage, (1, READ, fd))
    before = dict(poller._registered)
    assert before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poller, "_watch", None)
        ready(stage, (1, READ, fd))
    assert poller._registered == before
    assert os.fstat(next(iter(before)))
