"""A machine with Docker in it: `docker_host(release)`."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import TYPE_CHECKING, Generic, TypeVar

from wasmimg_testing.machines import launchers
from wasmimg_testing.machines.machine import Commands, Done, Machine, machine
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from wasmimg_testing.machines.release import Release

RUNTIME = "io.containerd.wasmimg.v1"
PLATFORM = "wasi/wasm"
DAEMON_JSON = "/etc/docker/daemon.json"
LOG = "/var/log/dockerd.log"
SOCKET = "/run/docker.sock"
#: without containerd's store Docker refuses images that are not for Linux
CONFIGURATION: Mapping[str, object] = {"features": {"containerd-snapshotter": True}}


M = TypeVar("M", bound=Commands)


class DockerClient(Generic[M]):
    """Docker's command line, in the machine that has its daemon."""

    def __init__(self, on: M) -> None:
        self.machine = on

    def docker(self, *words: str | Path, stdin: bytes = b"", timeout: float = 120) -> Done:
        """Run a `docker` command to its end."""
        return self.machine.run("docker", *words, stdin=stdin, timeout=timeout)

    def run(self, *words: str | Path, stdin: bytes = b"", timeout: float = 60) -> Done:
        """Run a container of ours: `docker run` with our runtime and platform, then the words."""
        ours = ("run", "--runtime", RUNTIME, "--platform", PLATFORM)
        return self.docker(*ours, *words, stdin=stdin, timeout=timeout)

    def state(self, name: str) -> Mapping[str, object]:
        """Give a container's state as `docker inspect` has it."""
        match self.inspect(name):
            case {"State": {**state}}:
                return state
            case other:
                raise AssertionError(other)

    def inspect(self, name: str) -> Mapping[str, object]:
        """Give what `docker inspect` has of one object."""
        found: list[Mapping[str, object]] = json.loads(self.docker("inspect", name).well())
        return found[0]

    def load(self, archive: Path) -> None:
        """Load the images of an archive that lies on the host that runs the tests."""
        self.docker("load", stdin=archive.read_bytes()).well()

    def clear(self) -> None:
        """Remove all containers, and networks and volumes that nobody uses."""
        listed = self.docker("ps", "-aq").well().split()
        if listed:
            self.docker("rm", "-f", "-v", *listed).well()
        self.docker("network", "prune", "-f").well()


class DockerHost(DockerClient[Machine]):
    """Docker as Debian has it; `machine` is what it runs in."""

    def __init__(self, on: Machine) -> None:
        super().__init__(on)
        self._daemon: subprocess.Popen[bytes] | None = None

    def log(self) -> str:
        """Give what dockerd has written, and its containerd and shims through it."""
        return self.machine.path(LOG).read_text(errors="replace")

    def answers(self) -> bool:
        """Tell whether the daemon answers."""
        connection = _Local(str(self.machine.path(SOCKET)))
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def start(self) -> None:
        """Run dockerd."""
        daemon = self._daemon = self.machine.serve(LOG, "dockerd")
        until(lambda: self.answers() or daemon.poll() is not None, "dockerd answers")
        assert daemon.poll() is None, self.log()[-3000:]

    def stop(self) -> None:
        """End dockerd as a service manager does, and wait for its end."""
        assert self._daemon is not None
        self.machine.run("sh", "-c", "kill $(cat /run/docker.pid)").well()
        self._daemon.wait(60)
        self._daemon = None

    def restart(self) -> None:
        """End dockerd and run it anew, with what is in daemon.json by now."""
        self.stop()
        self.start()


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextlib.contextmanager
def docker_host(
    release: Release, *, configuration: Mapping[str, object] | None = None, shim: bool = True
) -> Generator[DockerHost]:
    """Run a machine with Docker until the block ends.

    `configuration` is what is in daemon.json beside containerd's store; with `shim` the launchers
    are on its PATH, without it nothing of wasmimg is registered (`/opt/wasmimg/bin/wasmimg` is there).
    """
    with machine(release) as on:
        if shim:
            launchers.write(on)
        document = {**CONFIGURATION, **(configuration or {})}
        on.path("/etc/docker").mkdir(exist_ok=True)
        on.path(DAEMON_JSON).write_text(json.dumps(document))
        host = DockerHost(on)
        host.start()
        yield host
