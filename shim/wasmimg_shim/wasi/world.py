"""One guest's world: its memory, descriptors, clocks and sockets, and what it may import."""

from __future__ import annotations

import array
import fcntl
import os
import stat
import termios
from typing import TYPE_CHECKING

from wasmimg_images.errors import InvalidInput, RunError
from wasmimg_shim.wasi import fdtable, rights
from wasmimg_shim.wasi.addrinfo import Addrinfo
from wasmimg_shim.wasi.beneath import Beneath
from wasmimg_shim.wasi.clocks import Clocks
from wasmimg_shim.wasi.fdtable import Descriptor, FdTable, file_type
from wasmimg_shim.wasi.filemounts import FileMounts
from wasmimg_shim.wasi.files import Files
from wasmimg_shim.wasi.function import Function, functions
from wasmimg_shim.wasi.memory import Memory
from wasmimg_shim.wasi.paths import Paths
from wasmimg_shim.wasi.poll import Poll
from wasmimg_shim.wasi.process import Process
from wasmimg_shim.wasi.signalfile import SignalFile
from wasmimg_shim.wasi.sockets import Sockets
from wasmimg_shim.wasi.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_shim.guest import Guest, Preopen

__all__ = ["GROUPS", "MODULE", "World"]

MODULE = "wasi_snapshot_preview1"
#: the classes whose methods are the interface
GROUPS = (Process, Clocks, Files, Paths, Poll, Sockets, Transfers, Addrinfo)


class World:
    """The state that a guest's host functions share.

    The guest's own thread calls the functions; `signal`, `stop_listening` and `owes_answers` may
    be called by another, which takes the interpreter's lock between two of the guest's calls.
    """

    def __init__(self, guest: Guest, take_memory: Callable[[], memoryview]) -> None:
        self._guest = guest
        self._table = FdTable()
        self._signals = SignalFile()
        self._mounts = FileMounts()
        self._silence: int | None = None
        memory = Memory(take_memory)
        env = guest.env
        if not any(entry.startswith("PWD=") for entry in env):
            env = (*env, f"PWD={guest.cwd}")
        self._functions: dict[str, list[Function]] = {}
        for group in (
            Process(memory, guest.args, env),
            Clocks(memory),
            Files(memory, self._table),
            Paths(memory, self._table, Beneath(), self._signals, self._mounts),
            Poll(memory, self._table),
            Sockets(memory, self._table),
            Transfers(memory, self._table),
            Addrinfo(memory),
        ):
            for function in functions(group):
                self._functions.setdefault(function.name, []).append(function)

    def function(self, module: str, name: str, parameters: str, results: str) -> Function:
        """The host function for an import of this type (`i`, `I`, `f`, `F`, … a value).

        InvalidInput names an import that no version of the interface has.
        """
        versions = self._functions.get(name, []) if module == MODULE else []
        for function in versions:
            if function.parameters == parameters and results == "i" * function.returns:
                return function
        if versions:
            raise InvalidInput(
                f"the module imports {module}.{name} with a type that no version of it has",
                hint="rebuild the module for the target wasm32-wasip1",
            )
        raise InvalidInput(
            f"the module imports {module}.{name}, which nothing here provides",
            hint="modules may import WASI preview 1 and WasmEdge's socket extension"
            f" ({MODULE}) only",
        )

    def open(self) -> None:
        """Give the guest its standard streams, folders and files; RunError names what fails."""
        for host_fd in (0, 1, 2):
            self._table.add(_stream(host_fd))
        for preopen in self._guest.preopens:
            try:
                if stat.S_ISDIR(os.stat(preopen.path).st_mode):
                    self._table.add(_folder(preopen))
                else:
                    self._mounts.add(preopen.guest_path, preopen.path, writable=preopen.writable)
            except OSError as error:
                raise RunError(
                    f"cannot open {preopen.path} for the guest's {preopen.guest_path}: {error.strerror}"
                ) from error

    def signal(self, number: int) -> bool:
        """Tell the guest of a signal if it listens."""
        return self._signals.deliver(number)

    def stop_listening(self) -> None:
        """Put a pipe that never has anything to read in the place of each listening socket."""
        reader, self._silence = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for descriptor in list(self._table.open.values()):
            if descriptor.listening and descriptor.host >= 0:
                descriptor.listening = False
                os.dup2(reader, descriptor.host, inheritable=False)
        os.close(reader)

    def owes_answers(self) -> bool:
        """Whether a client that was accepted waits for something."""
        unread = array.array("i", [0])
        for descriptor in list(self._table.open.values()):
            if not descriptor.accepted or descriptor.host < 0:
                continue
            try:
                fcntl.ioctl(descriptor.host, termios.FIONREAD, unread)
            except OSError:  # closed just now
                continue
            if descriptor.owes or unread[0]:
                return True
        return False


def _stream(host_fd: int) -> Descriptor:
    """A standard stream may be used for all that its file can do.

    A terminal can't be sought: by that the C library's isatty tells it from other devices.
    """
    dup = fcntl.fcntl(host_fd, fcntl.F_DUPFD_CLOEXEC, 3)
    kind = file_type(os.fstat(dup).st_mode)
    if kind in {fdtable.SOCKET_STREAM, fdtable.UNKNOWN}:
        return Descriptor(dup, kind, rights.STREAM)
    base = rights.FILE & ~(rights.FD_SEEK | rights.FD_TELL) if os.isatty(dup) else rights.FILE
    return Descriptor(dup, kind, base)


def _folder(preopen: Preopen) -> Descriptor:
    host_fd = os.open(preopen.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    allowed = rights.ALL if preopen.writable else rights.ALL & ~rights.CHANGING
    folder = Descriptor(
        host_fd,
        fdtable.DIRECTORY,
        rights.DIRECTORY & allowed,
        (rights.DIRECTORY | rights.FILE) & allowed,
    )
    folder.preopened = True
    folder.read_only = not preopen.writable
    folder.guest_path = preopen.guest_path
    return folder
