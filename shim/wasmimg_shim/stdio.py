"""A process's standard input, output and error: FIFOs, files and loggers named by the caller.

A FIFO is never opened in a way that waits for its other end. Of an output FIFO the shim keeps a
read end open while the process lives, so that a reader may go and another come (containerd
restarts) without the process getting EPIPE; of an input FIFO a write end, so that it sees no end
before the first writer has come and gone, or CloseIO. Once the process is dead nothing of ours may hold them: readers wait for that.
"""

from __future__ import annotations

import os
import stat
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_shim import stdio_address
from wasmimg_shim.linux import inotify
from wasmimg_shim.loop import readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from wasmimg_shim.logger import Logger, Loggers
    from wasmimg_shim.loop import Job, Loop
    from wasmimg_shim.stdio_address import Address

_LOG_MODE = 0o640


class StdioPaths(NamedTuple):
    """What the caller asked for: paths or URLs as in `stdio_address`, empty for nothing."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class Stdio:
    """The opened descriptors: those for the process, and those that the shim keeps."""

    def __init__(
        self,
        fds: tuple[int, int, int],
        kept: tuple[int, ...],
        stdin_keeper: int = -1,
        stdin_writers: int = -1,
        loggers: tuple[Logger, ...] = (),
    ) -> None:
        self.fds = fds
        self._loggers = loggers
        self._given = True
        self._kept = kept
        self._stdin_keeper = stdin_keeper
        self._stdin_writers = stdin_writers
        self._following: Job[None] | None = None

    @classmethod
    async def open(cls, paths: StdioPaths, container: str, loggers: Loggers) -> Self:
        """Open what the paths name, and start the loggers among it.

        `container` is what loggers are told to log. Raises InvalidInput for what can't be a
        standard stream, RunError for a logger that is not ready in time.
        """
        if paths.terminal:
            raise InvalidInput("terminals are not supported yet", hint="run it without -t")
        stdin, *outputs = map(stdio_address.parse, (paths.stdin, paths.stdout, paths.stderr))
        if stdin.is_logger:
            raise InvalidInput(f"{paths.stdin}: a logger can't be a standard input")
        started: dict[Address, Logger] = {}
        async with AsyncExitStack() as undo:
            for address in dict.fromkeys(filter(lambda output: output.is_logger, outputs)):
                logger = started[address] = await loggers.start(address, container)
                undo.push_async_callback(logger.kill)
                for fd in logger.outputs:
                    undo.callback(os.close, fd)
            opened = cls._opened(stdin, outputs, started)
            undo.pop_all()
        return opened

    @classmethod
    def _opened(
        cls, stdin: Address, outputs: Sequence[Address], loggers: Mapping[Address, Logger]
    ) -> Self:
        with ExitStack() as undo:
            opened: list[int] = []
            kept: list[int] = []

            def own(fd: int) -> int:
                undo.callback(os.close, fd)
                return fd

            keeper = writers = -1
            if _is_fifo(stdin.path):
                # Before there is a reader no writer can come, so that none can leave unseen.
                writers = own(inotify.watch_writers(stdin.path))
            opened.append(own(_open_input(stdin.path)))
            if writers >= 0:
                keeper = own(os.open(stdin.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
                os.set_blocking(opened[0], True)
            for stream, address in enumerate(outputs):
                if address in loggers:
                    opened.append(loggers[address].outputs[stream])
                    continue
                if _is_fifo(address.path):
                    nonblocking = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                    kept.append(own(os.open(address.path, nonblocking)))
                opened.append(own(_open_output(address.path)))
            undo.pop_all()
        for fd in {fd for logger in loggers.values() for fd in logger.outputs}.difference(opened):
            os.close(fd)
        fds = (opened[0], opened[1], opened[2])
        return cls(fds, tuple(kept), keeper, writers, tuple(loggers.values()))

    def follow(self, loop: Loop) -> None:
        """Let the process see the end of its input once the first writer has closed it."""
        if self._stdin_writers >= 0:
            self._following = loop.spawn(self._follow())

    async def _follow(self) -> None:
        await readable(self._stdin_writers)
        self.close_stdin()

    def release_given(self) -> None:
        """Close the shim's copies of what the process has by now."""
        if self._given:
            self._given = False
            for fd in self.fds:
                os.close(fd)

    def close_stdin(self) -> None:
        """Let the process see the end of its input once the caller has closed it, too."""
        if self._stdin_keeper >= 0:
            os.close(self._stdin_keeper)
            self._stdin_keeper = -1

    def close(self) -> None:
        """Let go of everything; may be repeated."""
        self.release_given()
        self.close_stdin()
        if self._following is not None:
            self._following.cancel()
        if self._stdin_writers >= 0:
            os.close(self._stdin_writers)
            self._stdin_writers = -1
        for fd in self._kept:
            os.close(fd)
        self._kept = ()
        for logger in self._loggers:
            logger.let_go()

    async def drain(self) -> None:
        """Let go of everything and wait until the loggers have written what they got."""
        self.close()
        for logger in self._loggers:
            await logger.drain()


def _is_fifo(path: str) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False


def _open_input(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _open_output(path: str) -> int:
    """Open for writing; of a FIFO the shim has the other end already, so that this can't wait."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _LOG_MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _LOG_MODE)
