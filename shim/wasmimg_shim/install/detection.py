"""Finding the engines of this machine, and what a plan has to know about them. Changes nothing."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import daemon_json, machine, proof
from wasmimg_shim.install.ctr import Ctr, column
from wasmimg_shim.install.docker_api import DockerApi
from wasmimg_shim.install.launchers import DROP_INS, OWN
from wasmimg_shim.install.machine import ContainerdHost, DockerHost, Machine, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_images.document import Node
    from wasmimg_shim.install.rooted import Root

HOSTS: Final = ("auto", "docker", "containerd")
#: dockerd's own containerd, where the machine has none (moby, libcontainerd/supervisor).
_DOCKERS_CONTAINERD: Final = "/run/docker/containerd/containerd.sock"
_PID_FILE: Final = "/run/docker.pid"
_NAMES: Final = (OWN, *DROP_INS)


def find(host: str, root: Root, environ: Mapping[str, str]) -> Machine:
    """Find the engines that `host` (auto, docker, containerd) names; HostError if there is none.

    Nothing runs in another root than this machine's: what is found there by its programs is
    configured and not spoken to.
    """
    own = root.path == "/"
    docker, containerd = _look(host, root, environ, running=False)
    if host == "docker" and docker is None:
        if own:
            raise HostError("no Docker was found", hint="start it, or set DOCKER_HOST")
        docker = DockerHost()
    if host == "containerd" and containerd is None:
        if own:
            raise HostError("no containerd was found", hint="start it, or set CONTAINERD_ADDRESS")
        containerd = ContainerdHost()
    if docker is None and containerd is None:
        raise HostError(
            "no Docker and no containerd was found", hint="install one, or name it with --host"
        )
    return Machine(docker, containerd)


def find_users(root: Root, environ: Mapping[str, str]) -> Machine:
    """Find the engines that are there, if any, and what runs in them by our runtimes."""
    return _look("auto", root, environ, running=True)


def _look(host: str, root: Root, environ: Mapping[str, str], *, running: bool) -> Machine:
    own = root.path == "/"
    docker = containerd = None
    if host in {"auto", "docker"}:
        docker = _docker(environ, running=running) if own else _installed_docker(root)
    if host in {"auto", "containerd"}:
        containerd = _containerd(environ, running=running) if own else _installed_containerd(root)
    if host == "auto" and docker is not None and containerd is not None and not containerd.address:
        containerd = None  # it is Docker's
    return Machine(docker, containerd)


def _installed(root: Root, program: str) -> bool:
    return any(
        root.exists(f"{folder}/{program}") for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin")
    )


def _installed_docker(root: Root) -> DockerHost | None:
    return DockerHost() if _installed(root, "dockerd") else None


def _installed_containerd(root: Root) -> ContainerdHost | None:
    return ContainerdHost() if _installed(root, "containerd") else None


# -- Docker


def _docker(environ: Mapping[str, str], *, running: bool) -> DockerHost | None:
    path = _docker_socket(environ)
    peer = _peer(path)
    if peer is None:
        return _stopped_docker()
    api = DockerApi(path)
    answer = api.get("/version")
    if any("Podman" in part.need("Name").text() for part in _items(answer.get("Components"))):
        return None
    info = api.get("/info")
    pid = peer if _name(peer) == "dockerd" else _pid_in_file()
    if pid is None or not _shares_our_root(pid):
        raise HostError(
            f"the dockerd behind {path} does not run in this file system",
            hint="run this where dockerd runs; --host containerd leaves it alone",
        )
    arguments = _arguments(pid)
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
        _search(_peer(_DOCKERS_CONTAINERD) or _peer(machine.CONTAINERD_SOCKET) or pid),
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
        if runtime is not None and _is_ours(runtime.text()):
            found.append(document.need("Name").text().removeprefix("/"))
    return tuple(found)


def _is_ours(runtime: str) -> bool:
    """Tell whether a runtime's name, of Docker or containerd, means one of our launchers."""
    last = runtime.rpartition("/")[2]
    return any(
        last in {name, f"io.containerd.{name}.v1", f"containerd-shim-{name}-v1"} for name in _NAMES
    )


def _items(node: Node | None) -> list[Node]:
    return node.items() if node is not None else []


def _number(node: Node, key: str) -> int:
    found = node.get(key)
    return found.integer() if found is not None else 0


# -- containerd


def _containerd(environ: Mapping[str, str], *, running: bool) -> ContainerdHost | None:
    address = environ.get("CONTAINERD_ADDRESS") or machine.CONTAINERD_SOCKET
    peer = _peer(address)
    if peer is None:
        program = shutil.which("containerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        return ContainerdHost() if program is not None else None
    if not _shares_our_root(peer):
        raise HostError(
            f"the containerd behind {address} does not run in this file system",
            hint="run this where containerd runs; --host docker leaves it alone",
        )
    ctr = Ctr(address)
    _, _, server = ctr.need("version").partition("Server:")
    return ContainerdHost(
        Version.find(server),
        address,
        _search(peer),
        proof.containerd_leftovers(address),
        _containerd_running(ctr) if running else (),
    )


def _containerd_running(ctr: Ctr) -> tuple[str, ...]:
    found: list[str] = []
    for namespace in ctr.lines("namespaces", "ls", "-q"):
        if namespace == "moby":  # Docker is asked itself
            continue
        here = ctr._replace(namespace=namespace)
        tasks = set(column(here.lines("tasks", "ls"), 0))
        containers = here.lines("containers", "ls")
        pairs = zip(column(containers, 0), column(containers, 2), strict=True)
        found += [
            f"{namespace}/{name}" for name, runtime in pairs if name in tasks and _is_ours(runtime)
        ]
    return tuple(found)


# -- processes


def _peer(path: str) -> int | None:
    """Return the pid of who listens at a Unix socket (unix(7), SO_PEERCRED); None if nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise HostError(f"{path}: {error.strerror}", hint="sudo") from None
        ucred = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", ucred)[0]
    return pid


def _name(pid: int) -> str:
    return _proc(pid, "comm").decode(errors="replace").strip()


def _pid_in_file() -> int | None:
    """Return dockerd's pid where systemd made its socket, and is its peer."""
    try:
        with open(_PID_FILE, "rb") as file:
            pid = int(file.read())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _name(pid) == "dockerd" else None


def _shares_our_root(pid: int) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))
    except OSError:
        return False


def _arguments(pid: int) -> dict[str, str]:
    """Read the flags of a running dockerd: name -> value, empty for a switch."""
    words = [os.fsdecode(word) for word in _proc(pid, "cmdline").split(b"\0")[1:]]
    found: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, given, value = word.removeprefix("--").partition("=")
            found[name] = value if given else ("" if following.startswith("-") else following)
    return found


def _search(pid: int) -> tuple[str, ...]:
    """Return the PATH of a process; nothing if it can't be read."""
    for pair in _proc(pid, "environ").split(b"\0"):
        if pair.startswith(b"PATH="):
            return tuple(os.fsdecode(pair.removeprefix(b"PATH=")).split(":"))
    return ()


def _proc(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


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
