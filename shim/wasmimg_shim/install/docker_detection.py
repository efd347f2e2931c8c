"""Finding Docker on this machine, running or not. Changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import daemon_json, launchers, machine, processes, proof
from wasmimg_shim.install.docker_api import DockerApi
from wasmimg_shim.install.machine import DockerHost, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_images.document import Node

#: dockerd's own containerd, where the machine has none (moby, libcontainerd/supervisor).
_DOCKERS_CONTAINERD: Final = "/run/docker/containerd/containerd.sock"
_PID_FILE: Final = "/run/docker.pid"


def find(environ: Mapping[str, str], *, running: bool) -> DockerHost | None:
    """Ask Docker; HostError if it can't be reached from here. `running`: also for containers of ours."""
    path = _docker_socket(environ)
    peer = processes.peer(path)
    if peer is None:
        return _stopped_docker()
    api = DockerApi(path)
    answer = api.get("/version")
    if any("Podman" in part.need("Name").text() for part in _items(answer.get("Components"))):
        return None
    info = api.get("/info")
    pid = peer if processes.name(peer) == "dockerd" else _pid_in_file()
    if pid is None or not processes.shares_our_root(pid):
        raise HostError(
            f"the dockerd behind {path} does not run in this file system",
            hint="run this where dockerd runs; --host containerd leaves it alone",
        )
    arguments = processes.flags(pid)
    snapshotter = proof.docker_snapshotter(api)
    return DockerHost(
        Version.find(answer.need("Version").text()),
        arguments.get("config-file") or machine.DAEMON_JSON,
        path,
        pid,
        _dockerd(),
        _systemd_runs(pid),
        snapshotter,
        (0, 0) if snapshotter else (_number(info, "Images"), _number(info, "Containers")),
        frozenset(info.need("Runtimes").fields()),
        frozenset(arguments),
        processes.search(
            processes.peer(_DOCKERS_CONTAINERD) or processes.peer(machine.CONTAINERD_SOCKET) or pid
        ),
        any(proof.docker_leftovers(api)),
        _docker_running(api) if running else (),
    )


def _docker_socket(environ: Mapping[str, str]) -> str:
    chosen = environ.get("DOCKER_HOST", "")
    if chosen and not chosen.startswith("unix://"):
        raise InvalidInput(
            f"DOCKER_HOST is {chosen}: only the Docker of this machine can be installed for",
            hint="unset DOCKER_HOST",
        )
    return chosen.removeprefix("unix://") or machine.DOCKER_SOCKET


def _stopped_docker() -> DockerHost | None:
    """Learn what can be known of a Docker that does not run."""
    program = _dockerd()
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return DockerHost(Version.find(said.stdout), program=program, hidden=_images_on_disk())


def _dockerd() -> str | None:
    return shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _images_on_disk() -> tuple[int, int]:
    """Count the images and containers of a graph driver, where its engine can't be asked."""
    try:
        with open(machine.DAEMON_JSON, "rb") as file:
            chosen = daemon_json.value_at(file.read(), ("data-root",), machine.DAEMON_JSON)
    except FileNotFoundError:
        chosen = None
    data = chosen if isinstance(chosen, str) else "/var/lib/docker"
    images = sum(
        len(_names(f"{data}/image/{driver}/imagedb/content/sha256"))
        for driver in _names(f"{data}/image")
    )
    return images, len(_names(f"{data}/containers"))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _docker_running(api: DockerApi) -> tuple[str, ...]:
    found: list[str] = []
    for container in api.get("/containers/json").items():
        document = api.get(f"/containers/{container.need('Id').text()}/json")
        runtime = document.need("HostConfig").get("Runtime")
        if runtime is not None and launchers.is_runtime(runtime.text()):
            found.append(document.need("Name").text().removeprefix("/"))
    return tuple(found)


def _items(node: Node | None) -> list[Node]:
    return node.items() if node is not None else []


def _number(node: Node, key: str) -> int:
    found = node.get(key)
    return found.integer() if found is not None else 0


def _pid_in_file() -> int | None:
    """Return dockerd's pid where systemd made its socket, and is its peer."""
    try:
        with open(_PID_FILE, "rb") as file:
            pid = int(file.read())
    except (FileNotFoundError, ValueError):
        return None
    return pid if processes.name(pid) == "dockerd" else None


def _systemd_runs(pid: int) -> bool:
    """Tell whether systemd is there and this dockerd is its docker.service."""
    if not os.path.isdir("/run/systemd/system") or shutil.which("systemctl") is None:
        return False
    said = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", "docker.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() == str(pid)
