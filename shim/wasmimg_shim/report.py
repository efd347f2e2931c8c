"""What init tells its parent through a pipe: that it is ready, or what stopped it.

One write of less than PIPE_BUF bytes, so that it arrives whole or not at all (pipe(7)).
"""

from __future__ import annotations

import errno
import os

from wasmimg_images import errors

READY = b"ready"
#: init has its namespaces and mounts, and waits for the hooks that run beside the shim
SURROUNDED = b"surrounded"
LONGEST = 2048
#: what may cross the pipe as itself; everything else arrives as a RunError
FAMILIES = {
    family.__name__: family
    for family in (
        errors.InvalidInput,
        errors.NotFound,
        errors.HostError,
        errors.CannotInvoke,
        errors.CommandNotFound,
        errors.DigestMismatch,
    )
}


class SandboxError(errors.RunError):
    """The kernel refused a step of init's; `errno` is None where no system call was to blame."""

    def __init__(self, message: str, number: int | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.errno = number


def write_ready(fd: int) -> None:
    """Tell that init is ready."""
    os.write(fd, READY)


def write_surrounded(fd: int) -> None:
    """Tell that hooks may run, and that init waits for their end."""
    os.write(fd, SURROUNDED)


def write_failure(fd: int, stage: str, error: BaseException) -> None:
    """Tell which step failed with what."""
    number = error.errno if isinstance(error, OSError) and error.errno else 0
    family, message, hint = type(error).__name__, f"{stage}: {_words(error)}", ""
    if isinstance(error, errors.WasmimgError):
        message, hint = error.message, error.hint or ""
    fields = (family, str(number), hint, message)
    line = "\0".join(field.replace("\0", "") for field in fields)
    os.write(fd, line.encode(errors="replace")[:LONGEST])


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        text = error.strerror or "unknown error"
        return f"{error.filename}: {text}" if error.filename else text
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def read(fd: int) -> bool:
    """Take the answer: True where init is ready, False where it waits for hooks.

    Raises what stopped it; BlockingIOError while there is no answer; SandboxError where init died
    without one.
    """
    answer = os.read(fd, LONGEST)
    if answer in {READY, SURROUNDED}:
        return answer == READY
    if not answer:
        raise SandboxError(
            "the container's init died before it was ready",
            errno.ESRCH,
            hint="it may have been killed: look at the memory limit and at the kernel's log",
        )
    family, number, hint, message = answer.decode(errors="replace").split("\0", 3)
    known = FAMILIES.get(family)
    if known is not None:
        raise known(message, hint=hint or None)
    raise SandboxError(message, int(number) or None, hint=hint or None)
