"""Child processes of the shim: started without a shell, awaited by pidfd, orphans reaped."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from wasmimg_shim.loop import readable

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from wasmimg_shim.loop import Loop

#: Signals that a Python process ignores or handles; a program must find them as it expects.
_DEFAULTED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class Children:
    """Waits for processes, by name of their pid; everything else that ends here is reaped.

    As the subreaper the shim inherits what runc starts, and what a container without a pid
    namespace of its own leaves behind.
    """

    def __init__(self, loop: Loop) -> None:
        self._awaited: set[int] = set()
        self._inheriting = 0
        loop.on_signal(signal.SIGCHLD, self._reap_orphans)

    @contextmanager
    def inheriting(self) -> Generator[None]:
        """Reap no orphans inside: one of them is to be expected by its pid, even if it has ended."""
        self._inheriting += 1
        try:
            yield
        finally:
            self._inheriting -= 1
            self._reap_orphans()

    def adopt(self, pid: int) -> None:
        """Say that wait() will come for this child."""
        self._awaited.add(pid)

    def expect(self, pid: int) -> int:
        """Say that wait() will come for this child; return a pidfd for it."""
        self.adopt(pid)
        return os.pidfd_open(pid)

    async def wait(self, pid: int, pidfd: int) -> int:
        """Wait for a child's end and reap it; return its wait status (waitpid(2))."""
        self._awaited.add(pid)
        await readable(pidfd)
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222  # it has ended: this returns at once
        self._awaited.discard(pid)
        self._reap_orphans()
        return status

    async def run(
        self,
        arguments: Sequence[str],
        stdio: tuple[int, int, int],
        environment: Mapping[str, str],
    ) -> int:
        """Run a program, found on PATH, to its end; return its exit code, negative for a signal.

        The three descriptors become its standard ones. Raises OSError if it can't be started.
        """
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
        pid = os.posix_spawnp(  # noqa: ASYNC221  # its end is awaited below
            arguments[0],
            list(arguments),
            dict(environment),
            file_actions=actions,
            setsigmask=(),
            setsigdef=_DEFAULTED,
        )
        pidfd = self.expect(pid)
        try:
            return os.waitstatus_to_exitcode(await self.wait(pid, pidfd))
        finally:
            os.close(pidfd)

    def _reap_orphans(self) -> None:
        """Reap children that nobody waits for, up to the first one that somebody does."""
        with suppress(ChildProcessError):
            while not self._inheriting:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None or ended.si_pid in self._awaited:
                    return
                os.waitpid(ended.si_pid, 0)


def exit_status(wait_status: int) -> int:
    """Return a wait status as containers report it: the exit code, or 128+n for signal n."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
