"""Finding the engines of this machine, and what a plan has to know about them. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError
from wasmimg_shim.install import containerd_detection, docker_detection
from wasmimg_shim.install.machine import ContainerdHost, DockerHost, Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_shim.install.rooted import Root

HOSTS: Final = ("auto", "docker", "containerd")


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
        docker = docker_detection.find(environ, running=running) if own else _installed_docker(root)
    if host in {"auto", "containerd"}:
        containerd = (
            containerd_detection.find(environ, running=running)
            if own
            else _installed_containerd(root)
        )
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
