"""Loggers: programs of the host that take what a process writes, one for each `binary://` address.

A logger finds what comes from standard output at descriptor 3, from standard error at 4, and says by
closing 5 that it is ready (`binary-v2://`: by writing a byte to it first). Its environment is the
container's id and namespace. It is to end once both streams have.

The shim keeps read ends of its own. As long as the logger lives nothing is read from them; once it
has died what is written is thrown away: a process must neither get SIGPIPE nor wait for ever.
Source: containerd, core/runtime/v2/README.md "Logging", core/runtime/v2/logging.
"""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import RunError
from wasmimg_shim.loop import Event, readable
from wasmimg_shim.stdio_address import Scheme

if TYPE_CHECKING:
    from wasmimg_shim.children import Children
    from wasmimg_shim.loop import Loop
    from wasmimg_shim.shim_log import ShimLog
    from wasmimg_shim.stdio_address import Address

#: how long a logger may take, in seconds: to be ready; to end after its streams; to obey SIGTERM
READY_SECONDS = 10.0
DRAIN_SECONDS = 10.0
TERM_SECONDS = 2.0
#: where a logger's own descriptors begin, and where those lie that they are copied from
_FIRST, _ABOVE = 3, 16
#: proc(5), /proc/pid/stat: field 9 holds the flags; the second may hold spaces and ends in ")"
_FLAGS = 9 - 3
#: <linux/sched.h>: a process has this flag before its descriptors are closed at its end
_PF_EXITING = 0x4
_PORTION = 65536
_DEFAULTED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class Logger:
    """A logger from its start to its end."""

    def __init__(self, loggers: Loggers, address: Address, pid: int) -> None:
        #: the write ends of its two streams; who has the logger closes them
        self.outputs: tuple[int, ...] = ()
        self._kept: tuple[int, ...] = ()
        self._loggers = loggers
        self._address = address
        self._pid = pid
        self._pidfd = loggers.children.expect(pid)
        self._ended = Event(loggers.loop)
        self._code = 0
        self._lost = False

    async def watch(self) -> None:
        """Reap it at its end, and take its place if that comes too early."""
        await readable(self._pidfd)
        if not self.outputs:  # it never was ready: what it has started goes with it
            self._signal(signal.SIGKILL)
        status = await self._loggers.children.wait(self._pid, self._pidfd)
        os.close(self._pidfd)
        self._code = os.waitstatus_to_exitcode(status)
        self._ended.set()
        self._replace()

    async def confirm(self, ready: int) -> None:
        """Wait until it is ready; raises RunError where it is not in time, or not at all."""
        path, seconds = self._address.path, self._loggers.ready_seconds
        if not await readable(ready, seconds):
            raise RunError(f"logger {path} was not ready after {seconds:g} s", hint=_HINT)
        if os.read(ready, 1):
            return
        if _is_ending(self._pid, self._ended):
            await self._ended.wait()
            raise RunError(f"logger {path} {_fate(self._code)} before it was ready")
        if self._address.scheme is Scheme.BINARY_V2:
            raise RunError(f"logger {path} closed descriptor 5 without a byte: it is not ready")

    def take(self, outputs: tuple[int, ...], kept: tuple[int, ...]) -> None:
        """Say that it is in use; it owns the read ends in `kept` from now on."""
        self.outputs, self._kept = outputs, kept
        if self._ended.is_set:
            self._replace()

    def _replace(self) -> None:
        for fd in self._kept:
            self._loggers.loop.spawn(self._throw_away(fd))
        self._kept = ()

    async def _throw_away(self, fd: int) -> None:
        """Read to the end of a pipe for nothing, and close it; tell of the first loss."""
        try:
            while await readable(fd):
                with suppress(BlockingIOError):
                    if not os.read(fd, _PORTION):
                        return
                    self._tell_of_loss()
        finally:
            os.close(fd)

    def _tell_of_loss(self) -> None:
        if not self._lost:
            self._lost = True
            words = f"a logger {_fate(self._code)}: what should go to it is thrown away"
            self._loggers.log.error(words, logger=self._address.path)

    async def drain(self) -> None:
        """Wait until it has ended, as its streams have; a logger that goes on is killed in time.

        May be repeated.
        """
        self.let_go()
        if await self._ended.wait(DRAIN_SECONDS):
            return
        self._loggers.log.warning("a logger does not end: it is killed", logger=self._address.path)
        self._signal(signal.SIGTERM)
        if not await self._ended.wait(TERM_SECONDS):
            await self.kill()

    async def kill(self) -> None:
        """End it now, with all that it has started."""
        self.let_go()
        self._signal(signal.SIGKILL)
        await self._ended.wait()

    def let_go(self) -> None:
        """Say that its streams have ended, and so will it; may be repeated."""
        for fd in self._kept:
            os.close(fd)
        self._kept = ()

    def _signal(self, number: int) -> None:
        if not self._ended.is_set:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, number)


_HINT = "a logger closes its descriptor 5 when it is ready"


class Loggers(NamedTuple):
    """What it takes to start loggers; `ready_seconds` is how long one may take."""

    loop: Loop
    children: Children
    log: ShimLog
    namespace: str
    ready_seconds: float = READY_SECONDS

    async def start(self, address: Address, container: str) -> Logger:
        """Start a logger and wait until it is ready; RunError, and nothing is left, if it never is.

        `container` is what it is told to log: the id of a container, or of an exec.
        """
        with ExitStack() as mine, ExitStack() as ours:
            with ExitStack() as theirs:
                (out, out_end), (err, err_end) = _pipe(theirs, mine), _pipe(theirs, mine)
                ready, told = _pipe(ours, theirs)
                kept = tuple(_reopened(fd, mine) for fd in (out, err))
                logger = Logger(self, address, self._spawn(address, container, (out, err, told)))
            self.loop.spawn(logger.watch())
            try:
                await logger.confirm(ready)
            except BaseException:
                await logger.kill()
                raise
            mine.pop_all()
        logger.take((out_end, err_end), kept)
        return logger

    def _spawn(self, address: Address, container: str, descriptors: tuple[int, ...]) -> int:
        environment = {"CONTAINER_ID": container, "CONTAINER_NAMESPACE": self.namespace}
        with ExitStack() as opened:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            opened.callback(os.close, null)
            copied = [(null, number) for number in range(_FIRST)]
            for number, fd in enumerate(descriptors, _FIRST):
                # From above its place: none may be overwritten before it has been copied.
                above = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
                opened.callback(os.close, above)
                copied.append((above, number))
            try:
                return os.posix_spawn(
                    address.path,
                    [address.path, *address.arguments],
                    environment,
                    file_actions=[(os.POSIX_SPAWN_DUP2, *pair) for pair in copied],
                    setpgroup=0,
                    setsigmask=(),
                    setsigdef=_DEFAULTED,
                )
            except OSError as error:
                raise RunError(
                    f"logger {address.path}: {error.strerror}",
                    hint="the path after binary:// is that of a program of this host",
                ) from error


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Make a pipe, each end of which is closed with a stack."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    reader.callback(os.close, read_end)
    writer.callback(os.close, write_end)
    return read_end, write_end


def _reopened(fd: int, owner: ExitStack) -> int:
    """Open a pipe's end once more, since O_NONBLOCK would else be the logger's, too."""
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    owner.callback(os.close, again)
    return again


def _is_ending(pid: int, ended: Event) -> bool:
    """Tell whether a process has closed all its descriptors because it ends."""
    if ended.is_set:
        return True
    with open(f"/proc/{pid}/stat") as stat:
        return bool(int(stat.read().rpartition(")")[2].split()[_FLAGS]) & _PF_EXITING)


def _fate(code: int) -> str:
    return f"ended with status {code}" if code >= 0 else f"was killed by signal {-code}"
