"""What a Compose file says, as frozen values: a project, its services, networks and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from wasmimg_compose.container import ContainerSpec  # noqa: TC001 - NamedTuple fields are read at run time

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
PullPolicy = Literal["missing", "always", "never", "build"]


class Dependency(NamedTuple):
    """Another service that must be in a state before this one starts."""

    service: str
    condition: Condition = "service_started"
    required: bool = True


class Build(NamedTuple):
    """How to make a service's image: a folder for `wasmimg build`."""

    context: Path
    toolchain: str = "auto"


class Service(NamedTuple):
    """One service: what each of its containers shall be, and how it hangs together with others.

    The spec's `name` is None unless `container_name` is set; up.py numbers the containers.
    """

    name: str
    spec: ContainerSpec
    build: Build | None = None
    pull_policy: PullPolicy = "missing"
    depends_on: tuple[Dependency, ...] = ()
    scale: int = 1
    profiles: tuple[str, ...] = ()


class Network(NamedTuple):
    """A network of the project; `name` is what it is called on the host."""

    key: str
    name: str
    external: bool = False
    internal: bool = False
    subnet: str | None = None


class Volume(NamedTuple):
    """A named volume of the project; `name` is what it is called on the host."""

    key: str
    name: str
    external: bool = False


class Project(NamedTuple):
    """A whole Compose file; `warnings` are for the user to read, one line each."""

    name: str
    directory: Path
    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, Volume]
    warnings: tuple[str, ...] = ()

    def unprofiled(self) -> list[str]:
        """Name the services that are brought up where none is named: those without a profile."""
        return [name for name, service in self.services.items() if not service.profiles]

    def needs(self) -> dict[str, set[str]]:
        """Tell for every service which others it waits for."""
        return {
            name: {dependency.service for dependency in service.depends_on}
            for name, service in self.services.items()
        }
