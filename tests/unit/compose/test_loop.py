"""The loop and its shares: what failed, was dropped or never stops does not reach the others."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from wasmimg_compose.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def unexpected(error: Exception) -> None:
    raise error


def test_what_another_call_of_the_same_turn_has_dropped_is_not_called(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    called: list[str] = []
    share = loop.share(unexpected)
    for mine, other in (pair, pair[::-1]):
        mine.send(b"x")

        def call(mine: socket.socket = mine, other: socket.socket = other) -> None:
            called.append("")
            mine.recv(1)
            share.unregister(other)

        share.register(mine, call)
    loop.turn()
    assert len(called) == 1


def test_a_number_that_is_another_s_by_now_is_not_confused(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Both are ready; whichever is called first puts a silent socket in the place of the other."""
    called: list[str] = []
    made: list[socket.socket] = []
    share = loop.share(unexpected)
    for mine, other in (pair, pair[::-1]):
        mine.send(b"x")

        def call(other: socket.socket = other) -> None:
            called.append("ready")
            number = other.fileno()
            share.unregister(other)
            other.close()
            made.extend(socket.socketpair())
            taken = next(each for each in made if each.fileno() == number)
            share.register(taken, lambda: called.append("silent"))

        share.register(mine, call)
    loop.turn()
    assert called == ["ready"]
    for each in made:
        each.close()


def test_a_failure_is_told_to_its_owner_and_the_others_go_on(loop: Loop) -> None:
    failures: list[Exception] = []
    called: list[str] = []
    bad, good = loop.share(failures.append), loop.share(unexpected)
    bad.set(0, lambda: 1 / 0)
    good.set(0, lambda: called.append("good"))
    loop.turn()
    assert [type(each) for each in failures] == [ZeroDivisionError]
    assert called == ["good"]
    assert not loop.has_alarms


def test_a_closed_share_waits_for_nothing(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    share = loop.share(unexpected)
    share.register(pair[0], lambda: 1 / 0)
    share.set(0, lambda: 1 / 0)
    share.close()
    share.register(pair[1], lambda: 1 / 0)
    share.set(0, lambda: 1 / 0)
    for each in pair:
        each.send(b"x")
    loop.turn(0)
    assert not loop.has_alarms
    assert not loop.selector.get_map()


def test_what_sets_itself_again_leaves_the_others_their_turn(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    share, called = loop.share(unexpected), list[str]()

    def again() -> None:
        share.set(-1, again)

    again()
    share.register(pair[0], lambda: called.append("ready"))
    pair[1].send(b"x")
    loop.turn()
    assert called == ["ready"]


def test_a_moment_that_is_ages_away_is_no_error(loop: Loop) -> None:
    share = loop.share(unexpected)
    share.set(1e21, lambda: None)
    share.set(0, lambda: None)
    loop.turn()
    loop.turn(0.01)
    assert loop.has_alarms
