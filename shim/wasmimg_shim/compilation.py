"""Compiling a module in a process of its own: unprivileged, without a network, limited.

The compiler reads bytes of unknown authors. It gets them by file descriptor and gives code, or one
line saying why there is none, in a memory file; it may do nothing else.
"""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from wasmimg_images.errors import InvalidInput, RunError

if TYPE_CHECKING:
    from wasmimg_shim.engine import Engine

__all__ = ["Compilation", "compile_child"]

NOBODY = 65534
CLONE_NEWNET = 0x4000_0000
CLONE_NEWUSER = 0x1000_0000
PR_SET_NO_NEW_PRIVS = 38
MODULE_FD, OUTPUT_FD = 3, 4
#: exit codes of the child: the memory file holds code; it holds the reason
DONE, REFUSED = 0, 1
#: a module larger than this is not compiled; the largest known real one has 20 MB
LARGEST_MODULE = 512 << 20
LONGEST_REASON = 2000
LIMITS = (
    (resource.RLIMIT_CPU, 300),
    (resource.RLIMIT_AS, 8 << 30),
    (resource.RLIMIT_FSIZE, 2 << 30),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NPROC, 0),
)


class Compilation(NamedTuple):
    """A compiling child: wait for `pidfd` to be readable, reap `pid`, then take `result`."""

    pid: int
    pidfd: int
    out_fd: int

    def result(self, status: int) -> bytes:
        """Return the code, given the child's wait status; closes both file descriptors.

        InvalidInput: the module is broken, with the compiler's reason. RunError: it was stopped
        by a limit.
        """
        try:
            output = os.pread(self.out_fd, os.fstat(self.out_fd).st_size, 0)
        finally:
            os.close(self.out_fd)
            os.close(self.pidfd)
        match os.waitstatus_to_exitcode(status):
            case code if code == DONE:
                return output
            case code if code == REFUSED:
                raise InvalidInput(output[:LONGEST_REASON].decode(errors="replace"))
            case code if code < 0:
                raise RunError(
                    f"compiling the module was stopped by signal {-code}",
                    hint=f"a compilation may take {LIMITS[0][1]} s of CPU and"
                    f" {LIMITS[1][1] >> 30} GiB of memory",
                )
            case code:
                raise RunError(f"compiling the module failed with status {code}")

    def wait(self) -> bytes:
        """Block until the child ends, then return its result."""
        _, status = os.waitpid(self.pid, 0)
        return self.result(status)


def compile_child(engine: Engine, module_fd: int) -> Compilation:
    """Fork a child that compiles the module in `module_fd` (read from its start).

    The calling process must have one thread.
    """
    out_fd = os.memfd_create("wasmimg-code", os.MFD_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _compile_and_exit(engine, module_fd, out_fd)
    return Compilation(pid, os.pidfd_open(pid), out_fd)


def _compile_and_exit(engine: Engine, module_fd: int, out_fd: int) -> NoReturn:
    status = 70  # EX_SOFTWARE, unless it ends well
    try:
        _keep_only(module_fd, out_fd)
        _drop_rights()
        try:
            code = engine.compile(_read(MODULE_FD))
            _fill(OUTPUT_FD, code)
            status = DONE
        except InvalidInput as error:
            _fill(OUTPUT_FD, error.message.encode())
            status = REFUSED
        except MemoryError:
            _fill(OUTPUT_FD, b"compiling the module needs too much memory")
            status = REFUSED
    finally:
        os._exit(status)


def _keep_only(module_fd: int, out_fd: int) -> None:
    """Leave the child two file descriptors, at fixed numbers, and /dev/null for the others."""
    # both are moved out of the way first: either may sit on a number that the other is to get
    module = os.dup2(module_fd, 1 << 9)
    output = os.dup2(out_fd, (1 << 9) + 1)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.dup2(module, MODULE_FD)
    os.dup2(output, OUTPUT_FD)
    os.closerange(OUTPUT_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _drop_rights() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    as_root = os.geteuid() == 0
    # A caller that may not make a network namespace has no rights worth dropping either: its own
    # containers' compilers then run with its own network.
    libc.unshare(CLONE_NEWNET if as_root else CLONE_NEWUSER | CLONE_NEWNET)
    for limit, most in LIMITS:
        hard = resource.getrlimit(limit)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (bound, bound))
    if as_root:
        with suppress(PermissionError):  # already in a user namespace without other groups
            os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _read(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > LARGEST_MODULE:
        raise InvalidInput(f"the module has {size} bytes, more than the {LARGEST_MODULE} allowed")
    parts: list[bytes] = []
    offset = 0
    while part := os.pread(fd, 1 << 20, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _fill(fd: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(fd, remaining) :]
