"""The supervisor of a project: the process that looks after its running containers.

It reaps them, restarts them, probes their health, holds their ports and answers for their names.
It owns no container: killed at any moment, the next command starts another, which takes up every
container that still runs and reaps those that ended meanwhile. It ends with its last container.

What fails is one container's trouble: it is logged, and tried again after a pause.
"""

from __future__ import annotations

import contextlib
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

from wasmimg_compose import restart, starting, teardown, trouble
from wasmimg_compose.held import Held, Watch, name_sockets
from wasmimg_compose.loop import Loop
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
        self._loop = Loop()
        self._own = self._loop.share(trouble.note)
        self._watched: dict[str, Watched] = {}
        self._delays: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._listener = door.listen()
        self._own.register(self._listener, self._on_knock)

    def run(self) -> None:
        """Take up what runs, and go on until nothing is left."""
        for record in self._records.all():
            if record.spec.project == self._project:
                self._attempt(record.id, partial(self._take_up, record))
        while self._watched or self._loop.has_alarms:
            self._loop.turn()
        self._leave()

    def _leave(self) -> None:
        """Close the door; who is knocking finds nobody and starts the next supervisor."""
        (self._door.folder / "door").unlink(missing_ok=True)
        self._listener.close()
        self._loop.close()
        teardown.release_zygote(self._home)
        self._door.clear()

    # -- what is told at the door

    def _on_knock(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            # Out of descriptors, most likely: who knocks waits until there are some again.
            trouble.note(error)
            self._own.unregister(self._listener)
            pause = trouble.next_pause()
            self._own.set(pause, lambda: self._own.register(self._listener, self._on_knock))
            return
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

    # -- what may fail

    def _attempt(self, container: str, call: Callable[[], None]) -> None:
        """Do something for a container; if it fails, log why and do it again after a pause."""
        try:
            call()
        except NotFound:  # removed: there is nothing left to do for it
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the other containers go on
            trouble.note(error)
            self._own.set(self._pause(container), lambda: self._attempt(container, call))

    def _pause(self, container: str) -> float:
        """Draw the next pause, twice the last one; they start over with the container's next end."""
        pause = trouble.next_pause(self._pauses.get(container, 0.0))
        self._pauses[container] = pause
        return pause

    def _on_failure(self, container: str, error: Exception) -> None:
        """Let go of a container whose care has failed, and take it up anew after a pause."""
        trouble.note(error)
        self._let_go(container)

        def take_up() -> None:
            self._take_up(self._records.load(container))

        self._own.set(self._pause(container), lambda: self._attempt(container, take_up))

    def _let_go(self, container: str) -> None:
        watched = self._watched.pop(container, None)
        if watched is not None:
            try:
                watched.close()
            except Exception as error:  # noqa: BLE001 - as above; nothing is waited for any more
                trouble.note(error)

    # -- containers

    def _take_up(self, record: Record) -> None:
        if record.state == "running":
            watched = self._look_after(record)
            if not watched.holds:
                watched.hold(self._held_anew(record))
        elif restart.is_waiting(record):
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
        self._let_go(record.id)
        share = self._loop.share(lambda error: self._on_failure(record.id, error))
        watched = Watched(self._home, record, share, self._on_end)
        self._watched[record.id] = watched
        return watched

    def _on_end(self, seen: Record, ended: client.Exit | None) -> None:
        # Its control group may be gone when this is done again.
        out_of_memory = teardown.was_out_of_memory(self._home, seen.id)
        self._let_go(seen.id)
        self._pauses.pop(seen.id, None)
        self._attempt(seen.id, partial(self._settle, seen, ended, out_of_memory=out_of_memory))

    def _settle(self, seen: Record, ended: client.Exit | None, *, out_of_memory: bool) -> None:
        with self._records.lock(seen.id):
            record = self._records.load(seen.id)
            if record.state == "running" and record.started_at == seen.started_at:
                record = teardown.finish(self._home, record, ended, out_of_memory=out_of_memory)
            if restart.is_waiting(record):
                self._plan_restart(record)
            elif record.spec.auto_remove and record.state in {"exited", "removing"}:
                teardown.discard(self._home, record, volumes=True)

    def _plan_restart(self, record: Record) -> None:
        pause = restart.delay(record, self._delays.get(record.id, 0.0))
        self._delays[record.id] = pause
        start = partial(self._restart, record.id)
        self._own.set(pause, lambda: self._attempt(record.id, start))

    def _restart(self, container: str) -> None:
        with self._records.lock(container):
            record = self._records.load(container)
            if record.state == "starting" and record.restarts:  # by us: it could not be undone
                reason = record.error or "its start failed"
                record = teardown.undo_start(self._home, record, reason, wanted="running")
            if not restart.is_waiting(record):
                return
            # Counted with the start's first entry: alone, the last count reads as the end.
            started = self._start(record._replace(restarts=record.restarts + 1))
        if started is not None:
            self._look_after(started.record).hold(started.held)

    def _start(self, record: Record) -> starting.Started | None:
        try:
            return starting.start(self._home, record, None)
        except (WasmimgError, OSError, client.ShimGone, TimeoutError) as error:
            left = self._records.load(record.id)
            left = left._replace(exit_code=125, restarts=record.restarts)
            left = teardown.undo_start(self._home, left, str(error), wanted="running")
            self._plan_restart(left)
            return None
