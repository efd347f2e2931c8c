"""This machine as the host of a deployment: containers, networks and volumes without a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wasmimg_compose import lifecycle
from wasmimg_compose.network.networks import Networks
from wasmimg_compose.volumes import Volumes
from wasmimg_images.errors import NotFound

if TYPE_CHECKING:
    from wasmimg_compose.container import ContainerSpec
    from wasmimg_compose.lifecycle import Condition
    from wasmimg_compose.model import Network, Volume
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


class EmbeddedHost(NamedTuple):
    """Implements deploy.Host on one home, for one project."""

    home: Home
    project: str

    def ensure_network(self, network: Network) -> bool:
        """Make a network unless it exists; NotFound for an external one that does not."""
        networks = Networks.of(self.home)
        exists = network.name in {known.name for known in networks.all()}
        if network.external and not exists:
            raise NotFound(f"networks.{network.key}: no external network is called {network.name}")
        networks.ensure(
            network.name, internal=network.internal, subnet=network.subnet, project=self.project
        )
        return not exists

    def remove_network(self, network: Network) -> bool:
        """Remove a network that no container uses."""
        return Networks.of(self.home).remove(network.name)

    def ensure_volume(self, volume: Volume) -> bool:
        """Make a volume unless it exists; NotFound for an external one that does not."""
        volumes = Volumes.of(self.home)
        if volume.external:
            if volume.name not in volumes.all():
                raise NotFound(f"volumes.{volume.key}: no external volume is called {volume.name}")
            return False
        return volumes.ensure(volume.name)

    def remove_volume(self, volume: Volume) -> bool:
        """Remove a volume with its data."""
        return Volumes.of(self.home).remove(volume.name)

    def containers(self, project: str) -> list[Record]:
        """List a project's containers."""
        return lifecycle.containers(self.home, project=project)

    def create(self, spec: ContainerSpec) -> Record:
        """Make a container."""
        return lifecycle.create(self.home, spec)

    def start(self, name: str) -> Record:
        """Start a container."""
        return lifecycle.start(self.home, name)

    def stop(self, name: str, grace: float | None) -> Record:
        """Stop a container."""
        return lifecycle.stop(self.home, name, grace=grace)

    def remove(self, name: str, *, volumes: bool) -> None:
        """Remove a container."""
        lifecycle.remove(self.home, name, force=True, volumes=volumes)

    def wait_for(self, name: str, condition: Condition, timeout: float | None) -> Record:
        """Wait until a container is as wanted."""
        return lifecycle.wait_for(self.home, name, condition, timeout=timeout)
