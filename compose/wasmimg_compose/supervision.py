"""The way to a project's supervisor: found, or started, and told what to look after.

A supervisor owns `<run>/projects/<project>/`: it holds the lock as long as it lives and listens at
the door. There is at most one, and none once nothing is left to look after.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from wasmimg_compose.held import Watch
from wasmimg_compose.record import Records
from wasmimg_images.errors import HostError, NotFound
from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from wasmimg_compose.record import Record
    from wasmimg_compose.starting import Started
    from wasmimg_images.home import Home

#: One supervisor may end while we knock at its door; more than a few in a row do not.
ATTEMPTS: Final = 20
#: Seconds that a supervisor may need for an answer: it may be taking another container down.
PATIENCE: Final = 30.0
#: Seconds between attempts to knock at the door of a busy one.
LOOK: Final = 0.05
READY: Final = b"r"


class Door(NamedTuple):
    """Where a project's supervisor is met."""

    folder: Path

    @classmethod
    def of(cls, home: Home, project: str) -> Door:
        """Take a project's door."""
        return cls(home.run / "projects" / project)

    def connect(self) -> socket.socket | None:
        """Knock; None if nobody listens. BlockingIOError where too many do (unix(7))."""
        found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        found.settimeout(PATIENCE)
        try:
            with self._short_path() as path:
                found.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            found.close()
            return None
        except OSError:
            found.close()
            raise
        return found

    def listen(self) -> socket.socket:
        """Open the door; the caller holds the lock, so what is there is a dead one's."""
        (self.folder / "door").unlink(missing_ok=True)
        found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with self._short_path() as path:
            found.bind(path)
        found.listen(64)
        return found

    def make(self) -> None:
        """Make the folder, which another may clear away at any moment."""
        make_private(self.folder.parent)
        with contextlib.suppress(FileExistsError):  # exist_ok would look at it, and find it gone
            self.folder.mkdir(mode=0o700)

    def lock(self) -> int | None:
        """Become the project's supervisor; None if there is one."""
        self.make()
        try:
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # somebody has just cleared it away
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        if not self._is_lock(handle):  # its holder has just cleared it away
            os.close(handle)
            return None
        return handle

    def _is_lock(self, handle: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(handle), (self.folder / "lock").stat())
        return False

    def clear(self) -> None:
        """Remove the folder, but for a log that says something; the caller holds the lock."""
        (self.folder / "door").unlink(missing_ok=True)
        log = self.folder / "log"
        with contextlib.suppress(FileNotFoundError):
            if not log.stat().st_size:
                log.unlink()
        (self.folder / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def sweep(self) -> None:
        """Clear away what a supervisor that was killed has left, unless one lives."""
        handle = self.lock()
        if handle is not None:
            self.clear()
            os.close(handle)

    @contextlib.contextmanager
    def _short_path(self) -> Generator[str]:
        """Name the socket by a descriptor of its folder: addresses hold 107 bytes only."""
        at = os.open(self.folder, os.O_PATH | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{at}/door"
        finally:
            os.close(at)


def hand_over(home: Home, started: Started) -> None:
    """Give a started container to its project's supervisor, and our copies of its sockets up."""
    watch = Watch(started.record.id, started.held)
    try:
        for _ in range(ATTEMPTS):
            connection = ensure(home, started.record.spec.project)
            with connection, contextlib.suppress(ConnectionError):
                watch.send(connection)
                try:
                    if connection.recv(1) == READY:
                        return
                except TimeoutError:
                    return  # it is busy: what we sent waits for it
            if _has_ended(home, started.record):
                return
        raise HostError(f"the supervisor of {started.record.spec.project} does not answer")
    finally:
        started.held.close()


def _has_ended(home: Home, started: Record) -> bool:
    """Tell whether a supervisor found it by its record, and has seen it end, before we knocked."""
    try:
        record = Records.of(home).load(started.id)
    except NotFound:
        return True
    return record.state != "running" or record.started_at != started.started_at


def ensure(home: Home, project: str) -> socket.socket:
    """Connect to a project's supervisor, starting one where there is none."""
    door = Door.of(home, project)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            connection = door.connect()
        except BlockingIOError:  # too many stand at the door: it is busy
            time.sleep(LOOK)
            continue
        if connection is not None:
            return connection
        _spawn(home, project)
    raise HostError(f"the supervisor of {project} does not answer", hint=f"see {door.folder}/log")


def is_there(home: Home, project: str) -> bool:
    """Tell whether a project has a supervisor at this moment."""
    door = Door.of(home, project)
    if not (door.folder / "lock").exists():
        return False
    handle = door.lock()
    if handle is not None:
        os.close(handle)
    return handle is None


def _spawn(home: Home, project: str) -> None:
    """Fork a supervisor off, detached, and wait until it listens or has found another one.

    The interpreter and all modules are there already: a program started anew would cost ten times
    as much. Nothing of the caller is kept but that: see _detached.
    """
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        _detached(home, project, told)
    os.close(told)
    try:
        os.waitpid(child, 0)
        os.read(ready, 1)
    finally:
        os.close(ready)


def _detached(home: Home, project: str, told: int) -> NoReturn:
    """Leave session, terminal, working directory and descriptors behind, and supervise."""
    status = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        gc.freeze()
        os.chdir("/")
        door = Door.of(home, project)
        door.make()
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(door.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, null), (1, log), (2, log), (3, told)):
            os.dup2(source, target)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        from wasmimg_compose import supervisor

        supervisor.main(home, project, 3)
        status = 0
    except BaseException:  # noqa: BLE001 - the end of a process: its log is all that is left
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
