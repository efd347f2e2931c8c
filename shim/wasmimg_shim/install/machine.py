"""What is known about the engines of a machine. Values only: `detection` looks, `planning` decides."""

from __future__ import annotations

import re
from typing import NamedTuple

#: dockerd(8)
DAEMON_JSON = "/etc/docker/daemon.json"
DOCKER_SOCKET = "/run/docker.sock"
#: containerd(8)
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


class Version(NamedTuple):
    """The part of an engine's version that decides what it can do."""

    major: int
    minor: int

    @classmethod
    def find(cls, text: str) -> Version | None:
        """Find the first version in a text, as in `28.5.2+dfsg1` or `Docker version 24.0.9-1`."""
        found = re.search(r"(\d{1,9})\.(\d{1,9})", text)
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class DockerHost(NamedTuple):
    """A Docker engine.

    Attributes:
        version: None if it can't be asked (another root): then the newest is assumed.
        config: its daemon.json.
        socket: where its API answers; None if it does not run.
        pid: of dockerd, None if it does not run.
        program: dockerd, if it can be run here.
        systemd: whether systemd can restart it.
        snapshotter: whether images are in containerd's store, which alone takes `wasi/wasm`.
        hidden: images and containers of the other store, which it does not show.
        runtimes: the runtimes that dockerd knows now.
        flags: names of the flags on dockerd's command line.
        search: folders where shims are looked up; none if not known.
        leftovers: whether a killed proof left something.
        running: names of running containers whose runtime is one of ours.
    """

    version: Version | None = None
    config: str = DAEMON_JSON
    socket: str | None = None
    pid: int | None = None
    program: str | None = None
    systemd: bool = False
    snapshotter: bool = False
    hidden: tuple[int, int] = (0, 0)
    runtimes: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    search: tuple[str, ...] = ()
    leftovers: bool = False
    running: tuple[str, ...] = ()


class ContainerdHost(NamedTuple):
    """A containerd of its own; `address` is None where it does not run."""

    version: Version | None = None
    address: str | None = None
    search: tuple[str, ...] = ()
    leftovers: bool = False
    running: tuple[str, ...] = ()


class Machine(NamedTuple):
    """The engines to install for."""

    docker: DockerHost | None = None
    containerd: ContainerdHost | None = None
