"""The zygote: a process that has imported all that a shim needs, and forks one for each start.

It holds no state of any container: if it is killed, the next start verb makes another. It ends by
itself after a while without children and requests, or at once when it is asked to and childless.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import traceback
from contextlib import suppress
from typing import NoReturn

from wasmimg_images.errors import WasmimgError
from wasmimg_shim import zygote_socket
from wasmimg_shim.engine import Engine, load_engine
from wasmimg_shim.linux import libc
from wasmimg_shim.loop import Event, Loop, readable
from wasmimg_shim.process import serve_start

LISTENER = 3
IDLE_SECONDS = 300.0
#: A start verb sends its request at once; who doesn't gets no more patience.
REQUEST_SECONDS = 10.0
_REQUEST_MAX = 8 << 20
_PORTION = 65536
#: sysexits.h, EX_SOFTWARE
_FAULT = 70
_LAST_DESCRIPTOR = (1 << 32) - 1


def main(folder: str, engine_name: str) -> NoReturn:
    """Serve the listening socket at descriptor 3, which belongs to `folder`."""
    _name_process("wasmimg-zygote")
    listener = socket.socket(fileno=LISTENER)
    listener.setblocking(False)
    listener.set_inheritable(False)
    try:
        engine = load_engine(engine_name)
    except WasmimgError as error:  # the log's last line is what the start verb tells
        os.write(2, f"{error.message}; {error.hint}\n".encode())
        os._exit(_FAULT)
    # What exists now is shared with every child for ever: the collector must not touch (copy) it.
    gc.collect()
    gc.freeze()
    idle = float(os.environ.get("WASMIMG_ZYGOTE_IDLE_S") or IDLE_SECONDS)
    Zygote(folder, listener, engine, idle).run()
    os._exit(0)


def _name_process(name: str) -> None:
    with suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name)


class Zygote:
    """Accepts requests, forks, reaps, and knows when to end."""

    def __init__(self, folder: str, listener: socket.socket, engine: Engine, idle: float) -> None:
        self._folder = folder
        self._listener = listener
        self._engine = engine
        self._idle = idle
        self._children: set[int] = set()
        self._stop_when_childless = False
        self._loop = Loop(traceback.print_exception)
        self._changed = Event(self._loop)

    def run(self) -> None:
        """Serve until it is time to end."""
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._loop.spawn(self._accept())
        self._loop.spawn(self._end_in_time())
        self._loop.run()
        self._loop.close()

    async def _accept(self) -> None:
        while True:
            await readable(self._listener.fileno())
            with suppress(BlockingIOError, ConnectionAbortedError):
                connection, _ = self._listener.accept()
                self._loop.spawn(self._answer(connection))

    async def _answer(self, connection: socket.socket) -> None:
        """Take one request: its first byte says what it is."""
        with connection:
            pid, uid = zygote_socket.peer_ids(connection)
            if uid != os.geteuid() or not await readable(connection.fileno(), REQUEST_SECONDS):
                return
            with suppress(OSError):
                kind = connection.recv(1)
                if kind == zygote_socket.STOP_WHEN_CHILDLESS:
                    self._stop_when_childless = True
                    connection.sendall(zygote_socket.OK)
                elif kind == zygote_socket.START:
                    self._stop_when_childless = False
                    self._fork(connection, pid)
            self._changed.set()

    def _fork(self, connection: socket.socket, caller: int) -> None:
        child = os.fork()
        if child:
            self._children.add(child)
            return
        try:
            connection = _alone(connection)
            serve_start(_receive(connection), caller, connection.detach(), self._engine)
        except BaseException:  # noqa: BLE001  # this process ends here; its last words go to the log
            traceback.print_exc()
        finally:
            os._exit(_FAULT)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._children.discard(ended)
        self._changed.set()

    async def _end_in_time(self) -> None:
        while True:
            while self._children or not self._stop_when_childless:
                within = None if self._children else self._idle
                self._changed.clear()
                if not await self._changed.wait(within):
                    break
            if self._close():
                self._loop.stop()
                return

    def _close(self) -> bool:
        """Take the socket away, unless somebody is coming; False if so."""
        # A folder that is gone: nobody finds the way to us.
        with suppress(FileNotFoundError), open(f"{self._folder}/lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            os.unlink(f"{self._folder}/socket")
            # Who connected before that, and is not served, sees a reset and tries again.
            self._listener.close()
        return True


def _alone(connection: socket.socket) -> socket.socket:
    """Close all that is the zygote's or another caller's: who has a copy keeps its owner waiting."""
    fd = os.dup2(connection.detach(), LISTENER, inheritable=False)
    libc.close_range(LISTENER + 1, _LAST_DESCRIPTOR)
    return socket.socket(fileno=fd)


def _receive(connection: socket.socket) -> bytes:
    connection.settimeout(REQUEST_SECONDS)
    request = bytearray()
    while portion := connection.recv(_PORTION):
        request += portion
        if len(request) > _REQUEST_MAX:
            raise ConnectionAbortedError("the request is too long")
    return bytes(request)
