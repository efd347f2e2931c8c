"""Arguments, environment, randomness and the guest's own end."""

# ruff: noqa: D102 -- the methods are the interface's functions, documented by its snapshot
from __future__ import annotations

import os
import signal

from wasmimg_shim.wasi.errno import INVAL, NOTSUP
from wasmimg_shim.wasi.function import Exit, host
from wasmimg_shim.wasi.memory import Memory, Refused

__all__ = ["SIGNALS", "Process"]

#: WASI's `signal` is Linux's order without SIGSTKFLT; index 0 is none
SIGNALS = (
    None,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGKILL,
    signal.SIGUSR1,
    signal.SIGSEGV,
    signal.SIGUSR2,
    signal.SIGPIPE,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGURG,
    signal.SIGXCPU,
    signal.SIGXFSZ,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGWINCH,
    signal.SIGPOLL,
    signal.SIGPWR,
    signal.SIGSYS,
)
_IGNORED = {None, signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
_STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
#: one getrandom(2) call gives at most this much
_RANDOM_AT_ONCE = 1 << 20


class Process:
    """The part of the snapshot that needs no descriptor."""

    def __init__(self, memory: Memory, args: tuple[str, ...], env: tuple[str, ...]) -> None:
        self._memory = memory
        self._args = [os.fsencode(arg) + b"\0" for arg in args]
        self._env = [os.fsencode(entry) + b"\0" for entry in env]

    @host("args_sizes_get", "ii")
    def args_sizes_get(self, count: int, size: int) -> None:
        self._sizes(self._args, count, size)

    @host("args_get", "ii")
    def args_get(self, pointers: int, strings: int) -> None:
        self._strings(self._args, pointers, strings)

    @host("environ_sizes_get", "ii")
    def environ_sizes_get(self, count: int, size: int) -> None:
        self._sizes(self._env, count, size)

    @host("environ_get", "ii")
    def environ_get(self, pointers: int, strings: int) -> None:
        self._strings(self._env, pointers, strings)

    @host("random_get", "ii")
    def random_get(self, address: int, length: int) -> None:
        target = self._memory.window(address, length)
        for start in range(0, length, _RANDOM_AT_ONCE):
            part = target[start : start + _RANDOM_AT_ONCE]
            part[:] = os.urandom(len(part))

    @host("sched_yield", "")
    def sched_yield(self) -> None:
        os.sched_yield()

    @host("proc_exit", "i", returns=False)
    def proc_exit(self, status: int) -> None:
        raise Exit(status & 0xFF)

    @host("proc_raise", "i")
    def proc_raise(self, number: int) -> None:
        """A guest has no handlers, so each signal has its default action (signal(7))."""
        if number >= len(SIGNALS):
            raise Refused(INVAL)
        raised = SIGNALS[number]
        if raised in _STOPPING:  # the first process of a pid namespace can't be stopped
            raise Refused(NOTSUP)
        if raised is not None and raised not in _IGNORED:
            raise Exit(128 + raised)

    def _sizes(self, strings: list[bytes], count: int, size: int) -> None:
        self._memory.check(size, 4)
        self._memory.put_u32(count, len(strings))
        self._memory.put_u32(size, sum(map(len, strings)))

    def _strings(self, strings: list[bytes], pointers: int, buffer: int) -> None:
        self._memory.check(pointers, 4 * len(strings))
        self._memory.check(buffer, sum(map(len, strings)))
        for string in strings:
            self._memory.put_u32(pointers, buffer)
            self._memory.write(buffer, string)
            pointers += 4
            buffer += len(string)
