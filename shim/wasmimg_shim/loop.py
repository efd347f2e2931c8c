"""The event loop of the zygote and of the shim: coroutines on epoll, in one thread.

A coroutine is given up only at an await. What it can await: a descriptor, a time, an Event, a Lock,
another Job. Processes are awaited by pidfd. asyncio would cost 25 ms of import and a thread for
some of this; threads must not exist where we fork.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
import types
from collections import deque
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Self

T = TypeVar("T")


class _Wait(NamedTuple):
    """What a job waits for: a descriptor's event, or nothing but to be woken; till a deadline."""

    fd: int = -1
    event: int = 0
    deadline: float | None = None


class Cancelled(BaseException):
    """Thrown into a job at its await when somebody cancelled it."""


class Job(Generic[T]):
    """A coroutine that runs on the loop."""

    def __init__(self, loop: Loop, coroutine: Coroutine[_Wait, bool | None, T]) -> None:
        self.coroutine = coroutine
        self.finished = Event(loop)
        self.wait: _Wait | None = None
        self.queued = False
        self._begun = False
        self._loop = loop
        self._result: list[T] = []
        self._error: BaseException | None = None

    async def join(self) -> T:
        """Wait for the end of the job; return its result or raise what it raised."""
        await self.finished.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def cancel(self) -> None:
        """Throw Cancelled into the job, unless it has ended. Not for the running job itself."""
        if not self.finished.is_set:
            self._loop.throw(self, Cancelled())

    def _send(self, ready: bool) -> _Wait:
        begun, self._begun = self._begun, True
        return self.coroutine.send(ready if begun else None)

    def step(self, ready: bool = True, error: BaseException | None = None) -> None:
        """Run to the next await."""
        try:
            if error is not None:
                self.wait = self.coroutine.throw(error)
            else:
                self.wait = self._send(ready)
        except StopIteration as stop:
            self._result.append(stop.value)
            self.finished.set()
        except Cancelled as cancelled:
            self._error = cancelled
            self.finished.set()
        except Exception as failure:  # noqa: BLE001  # whatever it is, the joiners raise it
            self._error = failure
            self.finished.set()
            self._loop.failed(failure)
        else:
            try:
                self._loop.register(self)
            except OSError as failure:
                self.wait = None
                self.step(error=failure)


class Event:
    """Something that happens once; anybody may wait for it, also afterwards."""

    def __init__(self, loop: Loop) -> None:
        self.is_set = False
        self._loop = loop
        self._waiting: list[Job[object]] = []

    def set(self) -> None:
        """Say that it has happened."""
        self.is_set = True
        for job in self._waiting:
            self._loop.wake(job)
        self._waiting.clear()

    def clear(self) -> None:
        """Let it happen again."""
        self.is_set = False

    async def wait(self, within: float | None = None) -> bool:
        """Wait for it, at most `within` seconds; False if it has not happened by then."""
        deadline = None if within is None else time.monotonic() + within
        while not self.is_set:
            job = self._loop.current
            self._waiting.append(job)
            try:
                if not await _suspend(_Wait(deadline=deadline)):
                    return self.is_set
            finally:
                if job in self._waiting:
                    self._waiting.remove(job)
        return True


class Lock:
    """Lets one job at a time through, in the order of asking."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held = False
        self._queue: deque[Event] = deque()

    async def __aenter__(self) -> Self:
        if self._held:
            turn = Event(self._loop)
            self._queue.append(turn)
            try:
                await turn.wait()
            except Cancelled:
                if turn.is_set:
                    self._release()
                else:
                    self._queue.remove(turn)
                raise
        self._held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        if self._queue:
            self._queue.popleft().set()
        else:
            self._held = False


@types.coroutine
def _suspend(wait: _Wait) -> Generator[_Wait, bool, bool]:
    return (yield wait)


def _leave_to_wakeup_fd(signum: int, frame: types.FrameType | None) -> None:
    """Do nothing: with SIG_IGN the interpreter would not write the signal to the wakeup pipe."""


async def readable(fd: int, within: float | None = None) -> bool:
    """Wait until `fd` can be read, or its other end is gone; False after `within` seconds."""
    deadline = None if within is None else time.monotonic() + within
    return await _suspend(_Wait(fd, select.EPOLLIN, deadline))


async def writable(fd: int, within: float | None = None) -> bool:
    """Wait until `fd` can be written, or its other end is gone; False after `within` seconds."""
    deadline = None if within is None else time.monotonic() + within
    return await _suspend(_Wait(fd, select.EPOLLOUT, deadline))


async def sleep(seconds: float) -> None:
    """Let other jobs run for a time."""
    await _suspend(_Wait(deadline=time.monotonic() + seconds))


class Loop:
    """Runs jobs until there are none left, or until stop()."""

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        """`on_failure` hears of each exception that ends a job (its joiners get it as well)."""
        self.failed = on_failure
        self._epoll = select.epoll()
        self._jobs: set[Job[object]] = set()
        self._ready: deque[tuple[Job[object], bool]] = deque()
        self._by_fd: dict[int, dict[int, Job[object]]] = {}
        self._timers: list[tuple[float, int, Job[object], _Wait]] = []
        self._timer_count = 0
        self._current: Job[object] | None = None
        self._stopped = False
        self._signals: dict[int, Callable[[], None]] = {}
        self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll.register(self._wakeup[0], select.EPOLLIN)
        self._owner = os.getpid()
        os.register_at_fork(after_in_child=self._leave_to_parent)

    @property
    def current(self) -> Job[object]:
        """The job that is running."""
        assert self._current is not None
        return self._current

    def spawn(self, coroutine: Coroutine[_Wait, bool | None, T]) -> Job[T]:
        """Start a job; it first runs when its starter awaits or ends."""
        job = Job(self, coroutine)
        self._jobs.add(job)  # type: ignore[arg-type]  # only its owner reads the result
        self.wake(job)  # type: ignore[arg-type]  # as above
        return job

    def on_signal(self, signum: int, action: Callable[[], None]) -> None:
        """Call `action` between two steps after the process got a signal."""
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._signals[signum] = action
        signal.signal(signum, _leave_to_wakeup_fd)

    def stop(self) -> None:
        """Leave run() after the current step."""
        self._stopped = True

    def run(self) -> None:
        """Run the jobs."""
        while self._jobs and not self._stopped:
            if not self._ready:
                self._poll()
            elif self._ready[0][0].queued:
                self._step(*self._ready.popleft())
            else:
                self._ready.popleft()

    def close(self) -> None:
        """Give back descriptors and signals; jobs that are left are dropped where they wait."""
        if self._owner != os.getpid():
            return
        self._restore_signals()
        for job in list(self._jobs):
            job.coroutine.close()
        self._jobs.clear()
        self._drop_descriptors()

    def _leave_to_parent(self) -> None:
        """Forget all in a forked child: the kernel's side of epoll is shared with the parent."""
        if self._owner:
            self._restore_signals()
            self._drop_descriptors()

    def _restore_signals(self) -> None:
        if self._signals:
            signal.set_wakeup_fd(-1)
        for signum in self._signals:
            signal.signal(signum, signal.SIG_DFL)
        self._signals.clear()

    def _drop_descriptors(self) -> None:
        self._owner = 0
        self._epoll.close()
        os.close(self._wakeup[0])
        os.close(self._wakeup[1])

    def throw(self, job: Job[T], error: BaseException) -> None:
        """Raise `error` at the await of a job that is not running."""
        self.forget_wait(job)
        self._step(job, ready=False, error=error)  # type: ignore[arg-type]  # as in spawn()

    def _step(self, job: Job[object], ready: bool, error: BaseException | None = None) -> None:
        job.queued = False
        previous, self._current = self._current, job
        try:
            job.step(ready, error)
        finally:
            self._current = previous
        if job.finished.is_set:
            self._jobs.discard(job)

    def _poll(self) -> None:
        timeout = -1.0
        if self._timers:
            timeout = max(0.0, self._timers[0][0] - time.monotonic())
        for fd, event in self._epoll.poll(timeout):
            if fd == self._wakeup[0]:
                self._run_signals()
                continue
            for wanted, job in list(self._by_fd.get(fd, {}).items()):
                if event & (wanted | select.EPOLLHUP | select.EPOLLERR):
                    self.wake(job)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, job, wait = heapq.heappop(self._timers)
            if job.wait is wait:
                self.wake(job, ready=False)

    def _run_signals(self) -> None:
        for signum in dict.fromkeys(os.read(self._wakeup[0], 512)):
            if signum in self._signals:
                self._signals[signum]()

    def wake(self, job: Job[object], *, ready: bool = True) -> None:
        """Let a job run on; `ready` is what its await returns."""
        if not job.queued and not job.finished.is_set:
            self.forget_wait(job)
            job.queued = True
            self._ready.append((job, ready))

    def register(self, job: Job[T]) -> None:
        """Note what a job has begun to wait for."""
        wait = job.wait
        assert wait is not None
        if wait.deadline is not None:
            self._timer_count += 1
            heapq.heappush(self._timers, (wait.deadline, self._timer_count, job, wait))  # type: ignore[misc]  # the result's type is lost
        if wait.fd >= 0:
            waiting = self._by_fd.setdefault(wait.fd, {})
            if wait.event in waiting:
                raise FileExistsError(f"another job waits for descriptor {wait.fd}")
            known = bool(waiting)
            waiting[wait.event] = job  # type: ignore[assignment]  # as above
            self._watch(wait.fd, known=known)

    def forget_wait(self, job: Job[T]) -> None:
        """Undo register()."""
        wait, job.wait = job.wait, None
        if wait is None or wait.fd < 0:
            return
        waiting = self._by_fd[wait.fd]
        del waiting[wait.event]
        self._watch(wait.fd, known=True)

    def _watch(self, fd: int, *, known: bool) -> None:
        mask = 0
        for event in self._by_fd[fd]:
            mask |= event
        if not mask:
            del self._by_fd[fd]
            self._epoll.unregister(fd)
        elif known:
            self._epoll.modify(fd, mask)
        else:
            try:
                self._epoll.register(fd, mask)
            except OSError:
                del self._by_fd[fd]
                raise
