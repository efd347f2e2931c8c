"""What a container shall be: the values that `wasmimg run` and a Compose file are turned into.

Only frozen values live here, parsed and complete; the container that comes of one is a
`record.Record`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Protocol = Literal["tcp", "udp"]
MountKind = Literal["bind", "volume", "tmpfs"]
RestartName = Literal["no", "always", "on-failure", "unless-stopped"]

#: The networks with a meaning of their own; any other name is a bridge network.
HOST: Final = "host"
NONE: Final = "none"
DEFAULT_NETWORK: Final = "bridge"
#: Seconds between the stop signal and SIGKILL, as Docker's.
STOP_GRACE: Final = 10.0


class Port(NamedTuple):
    """One published port; `host_port` 0 asks for any free one, `host_ip` 0.0.0.0 means all."""

    container_port: int
    host_port: int = 0
    host_ip: str = "0.0.0.0"
    protocol: Protocol = "tcp"


class Mount(NamedTuple):
    """Something mounted into the container.

    `source` is an absolute host path for a bind, the volume's name for a volume ("" makes an
    anonymous one), and "" for a tmpfs. `options` are further mount(8) options (`size=64m`), and
    `nocopy` for a volume that shall not take over the image's content when it is new.
    """

    kind: MountKind
    source: str
    target: str
    read_only: bool = False
    options: tuple[str, ...] = ()


class Attachment(NamedTuple):
    """One network the container is on, and the names it has there besides its own."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str | None = None


class RestartPolicy(NamedTuple):
    """When an ended container is started again; `maximum` counts for on-failure, 0 is no limit."""

    name: RestartName = "no"
    maximum: int = 0


class Healthcheck(NamedTuple):
    """How to tell that a container works; times are seconds.

    `test` is Docker's: ("CMD", …), ("CMD-SHELL", line), ("NONE",). `wasmimg-probe http URL` and
    `wasmimg-probe tcp PORT` work in every container, in both forms (health.py).
    """

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


class Limits(NamedTuple):
    """Ceilings of a container; None is none. `memory` is bytes, `cpus` whole processors."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


class ContainerSpec(NamedTuple):
    """Everything that is asked of a container; None takes the image's value or the default.

    `image` is a reference in the store. `entrypoint` replaces the image's and then drops its
    command as well, as Docker does. A network "host", "none" or "container" attachment stands
    alone. `project` says whose supervisor looks after it.
    """

    image: str
    name: str | None = None
    project: str = "run"
    platform: str | None = None
    runtime: str | None = None
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    hostname: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    networks: tuple[Attachment, ...] = (Attachment(DEFAULT_NETWORK),)
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    restart: RestartPolicy = RestartPolicy()
    healthcheck: Healthcheck | None = None
    stop_signal: str | None = None
    stop_grace: float = STOP_GRACE
    read_only: bool = False
    interactive: bool = False
    auto_remove: bool = False
