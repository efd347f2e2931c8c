"""The supervisor of a project: the process that looks after its running containers.

It reaps them, restarts them, probes their health, holds their ports and answers for their names.
It owns no container: killed at any moment, the next command starts another, which takes up every
container that still runs and reaps those that ended meanwhile. It ends with its last container.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import traceback
from typing import TYPE_CHECKING

from wasmimg_compose import restart, starting, teardown
from wasmimg_compose.alarms import Alarms
from wasmimg_compose.held import Held, Watch, name_sockets
from wasmimg_compose.places import Places
from wasmimg_compose.record import Records
from wasmimg_compose.reservation import reserve
from wasmimg_compose.supervision import PATIENCE, READY, Door
from wasmimg_compose.watched import Watched
from wasmimg_images.errors import NotFound, WasmimgError
from wasmimg_shim import client

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


def main(home: Home, project: str, told: int) -> None:
    """Supervise a project until none of its containers runs; `told` is closed once we listen."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write("wasmimg-project")
    door = Door.of(home, project)
    lock = door.lock()
    if lock is None:
        return
    supervisor = Supervisor(home, project, door)
    os.close(told)
    supervisor.run()


class Supervisor:
    """The loop, and what it waits for."""

    def __init__(self, home: Home, project: str, door: Door) -> None:
        self._home = home
        self._project = project
        self._door = door
        self._records = Records.of(home)
        self._selector = selectors.DefaultSelector()
        self._alarms = Alarms()
        self._watched: dict[str, Watched] = {}
        self._delays: dict[str, float] = {}
        self._restarting: set[str] = set()
        self._listener = door.listen()
        self._selector.register(self._listener, selectors.EVENT_READ, self._on_knock)

    def run(self) -> None:
        """Take up what runs, and go on until nothing is left."""
        for record in self._records.all():
            if record.spec.project == self._project:
                self._take_up(record)
        while self._watched or self._restarting:
            for key, _ in self._selector.select(self._alarms.until_next()):
                call: Callable[[], None] = key.data
                call()
            self._alarms.ring()
        self._leave()

    def _leave(self) -> None:
        """Close the door; who is knocking finds nobody and starts the next supervisor."""
        (self._door.folder / "door").unlink(missing_ok=True)
        self._listener.close()
        teardown.release_zygote(self._home)
        self._door.clear()

    # -- what is told at the door

    def _on_knock(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENCE)
        with connection, contextlib.suppress(OSError, WasmimgError):
            watch = Watch.receive(connection)
            if watch is not None:
                self._watch(watch)
                connection.send(READY)

    def _watch(self, watch: Watch) -> None:
        record = self._records.load(watch.container)
        if record.state != "running":
            watch.held.close()
            return
        self._look_after(record).hold(watch.held)

    # -- containers

    def _take_up(self, record: Record) -> None:
        if record.state == "running":
            watched = self._look_after(record)
            if not watched.holds and record.id in self._watched:
                watched.hold(self._held_anew(record))
        elif record.state == "exited" and restart.is_due(record):
            self._plan_restart(record)

    def _held_anew(self, record: Record) -> Held:
        """Open the sockets that the last supervisor took with it; its starter may have them yet."""
        ports: tuple[socket.socket, ...] = ()
        names: tuple[socket.socket, ...] = ()
        with contextlib.suppress(WasmimgError):
            reservations = reserve(record.ports)
            ports = tuple(reservation.socket for reservation in reservations)
            for reservation in reservations:
                reservation.listen()
        with contextlib.suppress(OSError):
            if record.endpoints:
                names = name_sockets(Places(self._home, record.id).namespace)
        return Held(ports, names)

    def _look_after(self, record: Record) -> Watched:
        known = self._watched.get(record.id)
        if known is not None and known.record.started_at == record.started_at:
            return known
        if known is not None:
            known.close()
        watched = Watched(self._home, record, self._selector, self._alarms, self._on_end)
        self._watched[record.id] = watched
        watched.begin()
        return watched

    def _on_end(self, seen: Record, ended: client.Exit | None) -> None:
        watched = self._watched.pop(seen.id, None)
        if watched is not None:
            watched.close()
        try:
            with self._records.lock(seen.id):
                record = self._records.load(seen.id)
                if record.state == "running" and record.started_at == seen.started_at:
                    record = teardown.finish(self._home, record, ended)
                if restart.is_due(record):
                    self._plan_restart(record)
                elif record.spec.auto_remove and record.state == "exited":
                    teardown.discard(self._home, record, volumes=True)
        except NotFound:
            return
        except (WasmimgError, OSError):
            traceback.print_exc()

    def _plan_restart(self, record: Record) -> None:
        pause = restart.delay(record, self._delays.get(record.id, 0.0))
        self._delays[record.id] = pause
        self._restarting.add(record.id)
        self._alarms.set(pause, lambda: self._restart(record.id))

    def _restart(self, container: str) -> None:
        self._restarting.discard(container)
        try:
            with self._records.lock(container):
                record = self._records.load(container)
                if record.state != "exited" or not restart.is_due(record):
                    return
                # Counted with the start's first entry: alone, the last count reads as the end.
                started = self._start(record._replace(restarts=record.restarts + 1))
        except NotFound:
            return
        if started is not None:
            self._look_after(started.record).hold(started.held)

    def _start(self, record: Record) -> starting.Started | None:
        try:
            return starting.start(self._home, record, None)
        except (WasmimgError, OSError, client.ShimGone, TimeoutError) as error:
            left = teardown.undo_start(self._home, self._records.load(record.id), str(error))
            left = left._replace(wanted="running", exit_code=125, restarts=record.restarts)
            self._plan_restart(self._records.save(left))
            return None
