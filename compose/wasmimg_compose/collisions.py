"""What two containers of one project can't both have: a name, a port of the host, an address. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wasmimg_compose.ports import HostPorts
from wasmimg_compose.reconcile import wanted_specs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from wasmimg_compose.model import Project


class Collision(NamedTuple):
    """A service that wants what another one has, and below which key of its own."""

    service: str
    key: str
    message: str


def collisions(project: Project, services: Collection[str]) -> Iterator[Collision]:
    """Find what the containers of services that are up together collide in."""
    names: set[str] = set()
    ports = HostPorts()
    addresses: dict[tuple[str, str], str] = {}
    for service in (name for name in project.services if name in services):
        for spec in wanted_specs(project, project.services[service]):
            name = str(spec.name)
            if name in names:
                yield Collision(service, "container_name", f"two containers are called {name}")
            names.add(name)
            for port in spec.ports:
                owner = ports.take(port, name)
                if owner is not None:
                    what = f"host port {port.host_port}/{port.protocol}"
                    yield Collision(service, "ports", f"{what} is published by {owner} as well")
            for network, _, address in spec.networks:
                if address is not None:
                    owner = addresses.setdefault((network, address), name)
                    if owner != name:
                        yield Collision(service, "networks", f"{address} is {owner}'s as well")
