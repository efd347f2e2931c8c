"""`/dev/wasmimg/signal`: a guest that opens it is told of signals, one byte (the number) each.

It is served here and need not exist in the image. Reading end in the guest's table; the main
thread writes. A reader that has closed its end, or that lets the pipe fill, is told no more.
"""

from __future__ import annotations

import os
import posixpath

from wasmimg_shim.wasi import fdtable, filestat, rights
from wasmimg_shim.wasi.errno import NOTCAPABLE
from wasmimg_shim.wasi.fdtable import Descriptor
from wasmimg_shim.wasi.memory import Refused

__all__ = ["SIGNAL_FILE", "SignalFile"]

SIGNAL_FILE = "/dev/wasmimg/signal"


class SignalFile:
    """The writing ends of the pipes that the guest reads signals from."""

    def __init__(self) -> None:
        self._writers: list[int] = []

    @staticmethod
    def join(folder: str | None, name: bytes) -> str | None:
        """The guest's own name of a path below one of its folders, without looking at links."""
        if folder is None:
            return None
        return posixpath.normpath(f"{folder.rstrip('/')}/{os.fsdecode(name)}")

    def is_at(self, folder: str | None, name: bytes) -> bool:
        """Whether this path is the signal file's."""
        return name.endswith(b"signal") and self.join(folder, name) == SIGNAL_FILE

    def open(self, base: int) -> Descriptor:
        """A new reader; Refused(NOTCAPABLE) for a writer."""
        if base & rights.FD_WRITE or not base & rights.FD_READ:
            raise Refused(NOTCAPABLE)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writer, False)
        self._writers.append(writer)
        kept = rights.FD_READ | rights.POLL_FD_READWRITE | rights.FD_FDSTAT_SET_FLAGS
        return Descriptor(reader, fdtable.CHARACTER_DEVICE, base & (kept | rights.FD_FILESTAT_GET))

    def deliver(self, number: int) -> bool:
        """Write the byte to every reader; False if none took it."""
        taken = False
        for writer in list(self._writers):
            try:
                os.write(writer, bytes((number,)))
                taken = True
            except BlockingIOError:
                pass
            except BrokenPipeError:
                self._writers.remove(writer)
                os.close(writer)
        return taken

    @staticmethod
    def filestat() -> bytes:
        """What a look at the file finds: a character device without a size."""
        return filestat.record(0, 0, fdtable.CHARACTER_DEVICE, 1, 0, (0, 0, 0))
