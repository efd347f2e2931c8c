"""Running a program to its end: argument list and input in, status and output back.

The subprocess module costs a fifth of a start; this is the part of it that `ip`, `nft` and `runc`
need. Input and output are anonymous files, so nothing can block on a full pipe.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Finished(NamedTuple):
    """How a program ended; `output` is what it wrote to both of its streams."""

    status: int
    output: str


class Running(NamedTuple):
    """A program that was started; wait() must be called, once."""

    pid: int
    sink: int

    def wait(self) -> Finished:
        """Wait for its end."""
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            output = os.pread(self.sink, os.fstat(self.sink).st_size, 0)
        finally:
            os.close(self.sink)
        return Finished(status, output.decode(errors="replace"))


def run(arguments: Sequence[str], stdin: str = "") -> Finished:
    """Run a program found on PATH and wait for it; HostError if there is none."""
    return begin(arguments, stdin).wait()


def begin(
    arguments: Sequence[str],
    stdin: str = "",
    *,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start a program found on PATH, or by its absolute path; HostError if there is none."""
    program = shutil.which(arguments[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise HostError(
            f"{arguments[0]} is not installed", hint=f"install the package with {arguments[0]}"
        )
    source = os.memfd_create("stdin", os.MFD_CLOEXEC)
    sink = os.memfd_create("output", os.MFD_CLOEXEC)
    try:
        os.write(source, stdin.encode())
        os.lseek(source, 0, os.SEEK_SET)
        pid = os.posix_spawn(
            program,
            list(arguments),
            dict(os.environ if environment is None else environment),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, source, 0),
                (os.POSIX_SPAWN_DUP2, sink, 1),
                (os.POSIX_SPAWN_DUP2, sink, 2),
            ],
        )
    except BaseException:
        os.close(sink)
        raise
    finally:
        os.close(source)
    return Running(pid, sink)
