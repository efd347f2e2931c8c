from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from wasmimg_shim.loop import Cancelled, Event, Job, Lock, Loop, readable, sleep, writable


class Failures(list[Exception]):
    def __call__(self, error: Exception) -> None:
        self.append(error)


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def loop(failures: Failures) -> Iterator[Loop]:
    made = Loop(failures)
    yield made
    made.close()


def test_jobs_take_turns_at_their_awaits(loop: Loop) -> None:
    seen: list[str] = []

    async def job(name: str) -> None:
        for _ in range(2):
            seen.append(name)
            await sleep(0)

    loop.spawn(job("a"))
    loop.spawn(job("b"))
    loop.run()
    assert seen == ["a", "b", "a", "b"]


def test_a_job_waits_for_bytes_and_for_room(loop: Loop) -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    received = bytearray()

    async def reader() -> None:
        while True:
            await readable(read_end)
            if not (portion := os.read(read_end, 65536)):
                return
            received.extend(portion)

    async def writer() -> None:
        rest = bytes(300_000)
        while rest:
            try:
                rest = rest[os.write(write_end, rest) :]
            except BlockingIOError:
                await writable(write_end)
        os.close(write_end)

    loop.spawn(reader())
    loop.spawn(writer())
    loop.run()
    os.close(read_end)
    assert len(received) == 300_000


def test_waiting_ends_at_its_deadline(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    results: list[bool] = []

    async def job() -> None:
        results.append(await readable(read_end, 0.01))
        results.append(await Event(loop).wait(0.01))
        os.write(write_end, b"x")
        results.append(await readable(read_end, 10))

    loop.spawn(job())
    loop.run()
    os.close(read_end)
    os.close(write_end)
    assert results == [False, False, True]


def test_all_who_wait_for_an_event_go_on(loop: Loop) -> None:
    event, woken = Event(loop), list[int]()

    async def waiter(number: int) -> None:
        await event.wait()
        woken.append(number)

    async def setter() -> None:
        await sleep(0)
        event.set()

    for number in range(3):
        loop.spawn(waiter(number))
    loop.spawn(setter())
    loop.run()
    assert sorted(woken) == [0, 1, 2]


def test_a_lock_lets_one_through_in_the_order_of_asking(loop: Loop) -> None:
    lock, seen = Lock(loop), list[str]()

    async def job(name: str) -> None:
        async with lock:
            seen.append(f"{name} in")
            await sleep(0.001)
            seen.append(f"{name} out")

    for name in "abc":
        loop.spawn(job(name))
    loop.run()
    assert seen == ["a in", "a out", "b in", "b out", "c in", "c out"]


def test_a_cancelled_job_frees_its_lock_and_its_place_in_the_queue(loop: Loop) -> None:
    lock, seen = Lock(loop), list[str]()

    async def holder() -> None:
        async with lock:
            await sleep(60)

    async def waiter(name: str) -> None:
        async with lock:
            seen.append(name)

    async def canceller(*jobs: Job[None]) -> None:
        await sleep(0)
        for job in jobs:
            job.cancel()

    first, second = loop.spawn(holder()), loop.spawn(waiter("b"))
    loop.spawn(waiter("c"))
    loop.spawn(canceller(second, first))
    loop.run()
    assert seen == ["c"]


def test_join_gives_the_result_or_the_error(loop: Loop, failures: Failures) -> None:
    async def good() -> int:
        await sleep(0)
        return 42

    async def bad() -> int:
        raise ValueError("no")

    async def joiner() -> str:
        value = await loop.spawn(good()).join()
        with pytest.raises(ValueError, match="no"):
            await loop.spawn(bad()).join()
        stuck = loop.spawn(sleep(60))
        await sleep(0)
        stuck.cancel()
        with pytest.raises(Cancelled):
            await stuck.join()
        return f"{value}"

    job = loop.spawn(joiner())
    loop.run()
    assert job.finished.is_set
    assert [str(error) for error in failures] == ["no"]


def test_two_jobs_on_one_descriptor_are_a_fault_of_the_second(
    loop: Loop, failures: Failures
) -> None:
    read_end, write_end = os.pipe()

    async def job() -> None:
        await readable(read_end)

    async def end() -> None:
        await sleep(0.01)
        os.write(write_end, b"x")

    loop.spawn(job())
    loop.spawn(job())
    loop.spawn(end())
    loop.run()
    os.close(read_end)
    os.close(write_end)
    assert [type(error) for error in failures] == [FileExistsError]


def test_what_epoll_cannot_watch_is_raised_where_it_is_awaited(
    loop: Loop, failures: Failures, tmp_path: object
) -> None:
    fd = os.open(f"{tmp_path}/file", os.O_RDWR | os.O_CREAT)

    async def job() -> None:
        with pytest.raises(PermissionError):
            await readable(fd)

    loop.spawn(job())
    loop.run()
    os.close(fd)
    assert failures == []


def test_signals_come_between_steps(loop: Loop) -> None:
    event = Event(loop)
    loop.on_signal(signal.SIGUSR1, event.set)

    async def job() -> bool:
        os.kill(os.getpid(), signal.SIGUSR1)
        return await event.wait(10)

    async def check() -> None:
        assert await loop.spawn(job()).join()

    done = loop.spawn(check())
    loop.run()
    assert done.finished.is_set


def test_a_forked_child_has_nothing_of_the_loop(loop: Loop) -> None:
    loop.on_signal(signal.SIGUSR1, lambda: None)
    child = os.fork()
    if not child:
        os._exit(0 if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert callable(signal.getsignal(signal.SIGUSR1))


def test_stop_leaves_at_once(loop: Loop) -> None:
    async def job() -> None:
        loop.stop()
        await sleep(60)

    loop.spawn(job())
    before = time.monotonic()
    loop.run()
    assert time.monotonic() - before < 30
