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

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmimg_compose.container import ContainerSpec
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


class Condition(enum.Enum):
    """What wait_for() waits for."""

    RUNNING = "running"
    HEALTHY = "healthy"
    EXITED = "exited"


def create(home: Home, spec: ContainerSpec) -> Record:
    """Make a container of an image in the store, started by nobody yet.

    NotFound without the image, InvalidInput for a name that is taken or a value that can't be.
    """
    raise NotImplementedError


def start(home: Home, name: str) -> Record:
    """Start a created or exited container and hand it to its project's supervisor.

    HostError (a port in use, a tool missing), CannotInvoke, CommandNotFound, RunError; nothing of
    the attempt is left then. A running container is left as it is.
    """
    raise NotImplementedError


def stop(home: Home, name: str, *, grace: float | None = None) -> Record:
    """Send the stop signal, SIGKILL after `grace` seconds, and reap; it is not restarted."""
    raise NotImplementedError


def kill(home: Home, name: str, signal: int) -> None:
    """Send a signal to the container's first process; InvalidInput if it does not run."""
    raise NotImplementedError


def wait(home: Home, name: str) -> int:
    """Wait until it has ended and give its exit code; at once if it does not run."""
    raise NotImplementedError


def wait_for(
    home: Home, name: str, condition: Condition, *, timeout: float | None = None
) -> Record:
    """Wait until the condition holds, and give the record as it is then.

    RunError when it can't hold any more (it ended, it turned unhealthy); HostError after
    `timeout` seconds.
    """
    raise NotImplementedError


def remove(home: Home, name: str, *, force: bool = False, volumes: bool = False) -> None:
    """Remove a container; a running one only by `force`. `volumes`: its anonymous ones too."""
    raise NotImplementedError


def inspect(home: Home, name: str) -> Record:
    """Look a container up; NotFound."""
    raise NotImplementedError


def containers(home: Home, *, project: str | None = None) -> list[Record]:
    """List the containers, oldest first, those that ended included."""
    raise NotImplementedError
