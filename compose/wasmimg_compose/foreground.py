"""A container in the foreground: its streams relayed through FIFOs, the caller's signals passed on.

Standard output and error stay apart for the caller and are written to the log as well. A container
that is started again writes to its log alone, and is followed there.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Final

from wasmimg_compose import lifecycle, restart, streams, teardown
from wasmimg_compose.places import Places
from wasmimg_compose.starting import Stdio
from wasmimg_images.errors import NotFound, RunError
from wasmimg_shim import client

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home

CHUNK: Final = 1 << 16
FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: Those by which the caller wants it to end, so that no restart policy brings it back.
ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})


class Foreground:
    """One run: the FIFOs, and the Wait that is under way.

    `out_of_memory` says after run() whether the kernel killed a process for the memory limit.
    """

    def __init__(self, home: Home, record: Record) -> None:
        self._home, self._record = home, record
        self._places = Places(home, record.id)
        self._selector = selectors.DefaultSelector()
        self._wait: client.PendingWait | None = None
        self._address = ""
        self._log = -1
        self._lock = -1
        self._readers: set[int] = set()
        self._stdin, self._sink = "", -1
        self._interrupted = 0.0
        self.out_of_memory = False

    def run(self, stdin: int | None, stdout: int, stderr: int) -> int:
        """Start the container, relay until it has ended for good, and give its exit code.

        `stdin` None gives it none. The descriptors stay open. RunError if it runs already.
        """
        folder = self._places.streams
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = {name: str(folder / name) for name in ("stdin", "stdout", "stderr")}
        for path in paths.values():
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
        self._lock = streams.lock(folder) or -1
        self._log = os.open(
            self._places.log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            self._relay(paths["stdout"], stdout)
            self._relay(paths["stderr"], stderr)
            self._stdin = "" if stdin is None else paths["stdin"]
            with self._forwarding():
                stdio = Stdio(self._stdin, paths["stdout"], paths["stderr"], self._created)
                lifecycle.start(self._home, self._record.id, stdio)
                if self._wait is None:
                    raise RunError(f"container {self._record.name} was started by somebody else")
                if stdin is not None:
                    self._feed(stdin)
                return self._follow(self._loop(self._wait), stdout)
        finally:
            self._close()

    def _created(self, address: str) -> None:
        """Ask for its end before it can come."""
        self._address = address
        self._wait = client.PendingWait(address, self._record.id)
        if self._stdin:
            # It has a reader now; a quick guest's is gone later, and open(2) would wait for one.
            self._sink = os.open(self._stdin, os.O_WRONLY | os.O_CLOEXEC)

    def _relay(self, path: str, target: int) -> None:
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._readers.add(reader)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._copy(reader, target))

    def _copy(self, reader: int, target: int) -> bool:
        """Pass on what there is; False at the end of the stream."""
        try:
            data = os.read(reader, CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self._selector.unregister(reader)
            self._readers.discard(reader)
            os.close(reader)
            return False
        _write_all(self._log, data)
        # Who reads us may have gone (`| head`): the container goes on, its log is kept.
        with contextlib.suppress(BrokenPipeError):
            _write_all(target, data)
        return True

    def _feed(self, source: int) -> None:
        """Pass input on as the guest takes it: it may wait for us to read what it says meanwhile."""
        os.set_blocking(self._sink, False)

        def read() -> None:
            data = os.read(source, CHUNK)
            with contextlib.suppress(KeyError):
                self._selector.unregister(source)
            if data:
                self._selector.register(self._sink, selectors.EVENT_WRITE, lambda: write(data))
            else:
                self._end_input()

        def write(data: bytes) -> None:
            self._selector.unregister(self._sink)
            try:
                rest = data[os.write(self._sink, data) :]
            except BlockingIOError:
                rest = data
            except BrokenPipeError:
                self._end_input()
                return
            if rest:
                self._selector.register(self._sink, selectors.EVENT_WRITE, lambda: write(rest))
            else:
                wait()

        def wait() -> None:
            try:
                self._selector.register(source, selectors.EVENT_READ, read)
            except PermissionError:  # a plain file, which epoll does not take and needs no waiting
                read()

        wait()

    def _end_input(self) -> None:
        os.close(self._sink)
        self._sink = -1
        self._ask(lambda task: task.close_stdin(self._record.id))

    def _loop(self, wait: client.PendingWait) -> int:
        ended: list[client.Exit] = []
        self._selector.register(wait, selectors.EVENT_READ, lambda: ended.append(wait.result(0)))
        while not ended:
            for key, _ in self._selector.select():
                call: Callable[[], object] = key.data
                call()
        # With --rm its supervisor leaves no record that could be asked later.
        self.out_of_memory = teardown.was_out_of_memory(self._home, self._record.id)
        for reader in list(self._readers):
            self._drain(reader)
        return ended[0].status

    def _follow(self, status: int, target: int) -> int:
        """Pass on what its restarts write, until there are no more; gives the last exit code."""
        at, pause = os.lseek(self._log, 0, os.SEEK_CUR), lifecycle.SHORTEST_LOOK
        with contextlib.suppress(NotFound):
            while True:
                record = self._look()
                while data := os.pread(self._log, CHUNK, at):
                    at += len(data)
                    with contextlib.suppress(BrokenPipeError):
                        _write_all(target, data)
                if record.state == "exited" and not restart.is_waiting(record):
                    self.out_of_memory = record.out_of_memory
                    return record.exit_code
                time.sleep(pause)
                pause = min(pause * 2, lifecycle.LONGEST_LOOK)
        return status

    def _look(self) -> Record:
        """See how it is; once the caller wants an end it is not started again."""
        record = lifecycle.inspect(self._home, self._record.id)
        self._address = record.shim
        if self._interrupted:
            record = lifecycle.give_up(self._home, record.id)
            if record.state == "running" and record.started_at > self._interrupted:
                record = lifecycle.stop(self._home, record.id)  # it has not heard the signal
        return record

    def _drain(self, reader: int) -> None:
        """Read what is left in the pipe; nobody writes any more once init has ended."""
        call: Callable[[], bool] = self._selector.get_key(reader).data
        while reader in self._readers:
            with selectors.SelectSelector() as last:
                last.register(reader, selectors.EVENT_READ)
                if not last.select(1.0) or not call():
                    return

    @contextlib.contextmanager
    def _forwarding(self) -> Generator[None]:
        """Pass the caller's signals on to the container while the block runs."""
        before = {number: signal.signal(number, self._forward) for number in FORWARDED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._wait is None:
            raise KeyboardInterrupt
        if number in ENDING:
            self._interrupted = time.time()
        if self._address:
            self._ask(lambda task: task.kill(self._record.id, number))

    def _ask(self, call: Callable[[client.TaskClient], None]) -> None:
        """Ask something of the shim that is not worth an error once the container has ended."""
        with (
            contextlib.suppress(client.RpcError, client.ShimGone),
            contextlib.closing(client.connect(self._address)) as task,
        ):
            call(task)

    def _close(self) -> None:
        for reader in self._readers:
            os.close(reader)
        if self._sink >= 0:
            os.close(self._sink)
        if self._wait is not None:
            self._wait.close()
        self._selector.close()
        os.close(self._log)
        if self._lock >= 0:
            os.close(self._lock)


def _write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
