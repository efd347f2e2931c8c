"""Containers without a daemon: create, start, stop, kill, wait, remove, inspect, list.

The API of the embedded half, for the command line and for Compose:

    record = create(home, ContainerSpec(image="demo", name="web", project="shop"))
    start(home, record.id)                      # network, rootfs, shim: returns when it runs
    wait_for(home, record.id, Condition.HEALTHY, timeout=60)
    stop(home, record.id)
    remove(home, record.id, volumes=True)

A container is named by its id, a unique prefix of it, or its name. Every function takes the
container's lock, so that commands and supervisors can run side by side, and journals what it is
about to do, so that the next command can complete or undo what a killed one left (recovery.py).
Each started container is handed to its project's supervisor (supervisor.py), which reaps it.
Networks and volumes are made before the containers that use them: `network.networks.Networks`
(`ensure`, `remove`) and `volumes.Volumes` (`ensure`, `remove`).
"""

from __future__ import annotations

import contextlib
import enum
import signal
import time
from typing import TYPE_CHECKING, Final

from wasmimg_compose import creation, recovery, starting, supervision, teardown
from wasmimg_compose.record import Records
from wasmimg_images.errors import HostError, InvalidInput, NotFound, RunError
from wasmimg_shim import client

if TYPE_CHECKING:
    from wasmimg_compose.container import ContainerSpec
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home

#: Seconds between looks at a record that somebody else changes; doubles up to the second.
SHORTEST_LOOK: Final = 0.005
LONGEST_LOOK: Final = 0.1
#: Seconds between looks whether a supervisor was killed.
RECOVERY: Final = 1.0
#: Seconds that SIGKILL may take.
PATIENCE: Final = 10.0


class Condition(enum.Enum):
    """What wait_for() waits for."""

    RUNNING = "running"
    HEALTHY = "healthy"
    EXITED = "exited"


def create(home: Home, spec: ContainerSpec) -> Record:
    """Make a container of an image in the store, started by nobody yet.

    NotFound without the image, InvalidInput for a name that is taken or a value that can't be.
    """
    recovery.recover(home)
    return creation.create(home, spec)


def start(home: Home, name: str, stdio: starting.Stdio | None = None) -> Record:
    """Start a created or exited container and hand it to its project's supervisor.

    HostError (a port in use, a tool missing), CannotInvoke, CommandNotFound, RunError; nothing of
    the attempt is left then. A running container is left as it is.
    """
    records = Records.of(home)
    identity = inspect(home, name).id
    with records.lock(identity):
        record = records.load(identity)
        if record.state == "running":
            return record
        try:
            started = starting.start(home, record._replace(restarts=0), stdio)
        except BaseException as error:
            teardown.undo_start(home, records.load(identity), str(error))
            teardown.release_zygote(home)
            if isinstance(error, client.ShimGone | TimeoutError):
                raise RunError(f"container {record.name}: {error}") from error
            raise
    supervision.hand_over(home, started)
    return started.record


def give_up(home: Home, name: str) -> Record:
    """Let its next end be its last, whatever its restart policy says; nothing is sent to it."""
    return _unwanted(home, inspect(home, name))


def stop(home: Home, name: str, *, grace: float | None = None) -> Record:
    """Send the stop signal, SIGKILL after `grace` seconds, and reap; it is not restarted.

    Nothing happens to a container that does not run.
    """
    record = _unwanted(home, inspect(home, name))
    if record.state != "running":
        return record
    patience = record.spec.stop_grace if grace is None else grace
    return _end(home, record, record.stop_signal, patience)


def restart(home: Home, name: str, *, grace: float | None = None) -> Record:
    """Stop it, if it runs, and start it; InvalidInput for one that removes itself when it ends."""
    record = inspect(home, name)
    if record.spec.auto_remove:
        raise InvalidInput(f"container {record.name} is removed when it ends (--rm)")
    stop(home, record.id, grace=grace)
    return start(home, record.id)


def _unwanted(home: Home, record: Record) -> Record:
    """Note that the user wants it stopped, before it ends: its supervisor goes by that."""
    records = Records.of(home)
    with records.lock(record.id):
        record = records.load(record.id)
        if record.wanted == "running":
            record = records.save(record._replace(wanted="stopped"))
        return record


def _end(home: Home, record: Record, number: int, patience: float) -> Record:
    """Signal a running container until it has ended, and record that, if its supervisor has not."""
    ended: client.Exit | None = None
    with contextlib.suppress(client.ShimGone, client.RpcError):
        waiting = client.PendingWait(record.shim, record.id)
        with contextlib.closing(waiting):
            _signal(record, number)
            try:
                ended = waiting.result(patience)
            except TimeoutError:
                _signal(record, signal.SIGKILL)
                try:
                    ended = waiting.result(PATIENCE)
                except TimeoutError:
                    raise HostError(f"container {record.name} does not die of SIGKILL") from None
    return _reap(home, record, ended)


def _reap(home: Home, seen: Record, ended: client.Exit | None) -> Record:
    records = Records.of(home)
    try:
        with records.lock(seen.id):
            record = records.load(seen.id)
            if record.state == "running" and record.started_at == seen.started_at:
                return teardown.finish(home, record, ended)
            return record
    except NotFound:  # its supervisor has removed it (--rm)
        return seen._replace(state="exited", exit_code=ended.status if ended else 0)


def _signal(record: Record, number: int) -> None:
    with contextlib.closing(client.connect(record.shim)) as task:
        try:
            task.kill(record.id, number)
        except client.RpcError as error:
            if error.code != client.Code.NOT_FOUND:
                raise


def kill(home: Home, name: str, number: int) -> None:
    """Send a signal to the container's first process; InvalidInput if it does not run.

    A container killed by SIGKILL or its stop signal is not restarted.
    """
    record = inspect(home, name)
    if record.state != "running":
        raise InvalidInput(f"container {record.name} is not running")
    if number in {signal.SIGKILL, record.stop_signal}:
        record = _unwanted(home, record)
    try:
        _signal(record, number)
    except (client.RpcError, client.ShimGone) as error:
        raise RunError(f"container {record.name}: {error}") from error


def wait(home: Home, name: str) -> int:
    """Wait until it has ended and give its exit code; at once if it does not run."""
    return wait_for(home, name, Condition.EXITED).exit_code


def wait_for(
    home: Home, name: str, condition: Condition, *, timeout: float | None = None
) -> Record:
    """Wait until the condition holds, and give the record as it is then.

    RUNNING and HEALTHY are the same for a container without a health check. RunError when it can't
    hold any more (it ended, it turned unhealthy); HostError after `timeout` seconds.
    """
    record = inspect(home, name)
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, recovered = SHORTEST_LOOK, time.monotonic()
    while not _holds(record, condition):
        if time.monotonic() - recovered > RECOVERY:
            # Its supervisor may be killed while we wait: nobody else would notice its end.
            recovery.recover(home)
            recovered = time.monotonic()
        if deadline is not None and time.monotonic() > deadline:
            raise HostError(
                f"container {record.name} is not {condition.value} after {timeout:g} s",
                hint=f"`wasmimg logs {record.name}` may say why",
            )
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_LOOK)
        try:
            record = Records.of(home).load(record.id)
        except NotFound:  # removed as it ended (--rm)
            record = record._replace(state="exited")
    return record


def _holds(record: Record, condition: Condition) -> bool:
    """Tell whether a condition holds; RunError if it can't any more."""
    over = record.state in {"created", "exited"} and not recovery.needs_supervisor(record)
    if condition is Condition.EXITED:
        return over
    if over or record.state == "removing":
        raise RunError(
            f"container {record.name} ended with exit code {record.exit_code}",
            hint=f"`wasmimg logs {record.name}` may say why",
        )
    if condition is Condition.HEALTHY and record.health == "unhealthy":
        raise RunError(
            f"container {record.name} is unhealthy",
            hint=f"`wasmimg logs {record.name}` may say why",
        )
    healthy = record.health in {"none", "healthy"}
    return record.state == "running" and (condition is Condition.RUNNING or healthy)


def remove(home: Home, name: str, *, force: bool = False, volumes: bool = False) -> None:
    """Remove a container; a running one only by `force`. `volumes`: its anonymous ones too."""
    record = inspect(home, name)
    if force:
        record = _unwanted(home, record)  # nor may it be started again meanwhile
    if record.state == "running":
        if not force:
            raise InvalidInput(
                f"container {record.name} is running", hint="stop it first, or use -f"
            )
        record = _end(home, record, signal.SIGKILL, PATIENCE)
    records = Records.of(home)
    with contextlib.suppress(NotFound), records.lock(record.id):
        record = records.load(record.id)
        if record.state == "running":
            raise RunError(f"container {record.name} was started again meanwhile")
        if record.state == "starting":  # a child of its killed starter held the lock till now
            record = teardown.undo_start(home, record)
            teardown.release_zygote(home)
        teardown.discard(home, record, volumes=volumes or record.spec.auto_remove)
    _settle(home, record.spec.project)


def _settle(home: Home, project: str) -> None:
    """Wait until supervisor and zygote have gone, if nothing needs them: then nothing is left."""
    left = Records.of(home).all()
    deadline = time.monotonic() + PATIENCE
    if not any(recovery.needs_supervisor(each) and each.spec.project == project for each in left):
        while supervision.is_there(home, project) and time.monotonic() < deadline:
            time.sleep(SHORTEST_LOOK)
    if not any(each.state in {"running", "starting"} for each in left):
        while client.release_zygote(str(home.run)) and time.monotonic() < deadline:
            time.sleep(SHORTEST_LOOK)


def inspect(home: Home, name: str) -> Record:
    """Look a container up; NotFound."""
    recovery.recover(home)
    return Records.of(home).find(name)


def containers(home: Home, *, project: str | None = None) -> list[Record]:
    """List the containers, oldest first, those that ended included."""
    recovery.recover(home)
    return [
        record
        for record in Records.of(home).all()
        if project is None or record.spec.project == project
    ]
