"""A project brought up and taken down: operations run against a host, each one reported.

The host comes in by parameter; embedded_host.py is the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wasmimg_compose.lifecycle import Condition
from wasmimg_compose.reconcile import (
    SERVICE,
    AwaitContainer,
    CreateContainer,
    EnsureNetwork,
    EnsureVolume,
    Operation,
    RemoveContainer,
    StartContainer,
    label,
    stop_order,
)
from wasmimg_images.errors import RunError, WasmimgError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmimg_compose.container import ContainerSpec
    from wasmimg_compose.model import Network, Project, Volume
    from wasmimg_compose.record import Record

    #: Called with a kind ("Container"), a name and what has become of it ("Started").
    Report = Callable[[str, str, str], None]


class Host(Protocol):
    """What a deployment needs of the machine; made or removed is answered with True."""

    def ensure_network(self, network: Network) -> bool:
        """Make a network unless it exists."""
        ...

    def remove_network(self, network: Network) -> bool:
        """Remove a network that no container uses."""
        ...

    def ensure_volume(self, volume: Volume) -> bool:
        """Make a volume unless it exists."""
        ...

    def remove_volume(self, volume: Volume) -> bool:
        """Remove a volume with its data."""
        ...

    def containers(self, project: str) -> list[Record]:
        """List a project's containers."""
        ...

    def create(self, spec: ContainerSpec) -> Record:
        """Make a container."""
        ...

    def start(self, name: str) -> Record:
        """Start a container."""
        ...

    def stop(self, name: str, grace: float | None) -> Record:
        """Stop a container."""
        ...

    def remove(self, name: str, *, volumes: bool) -> None:
        """Remove a container that does not run."""
        ...

    def wait_for(self, name: str, condition: Condition, timeout: float | None) -> Record:
        """Wait until a container is as wanted; RunError if it can't be any more."""
        ...


def run(operations: Sequence[Operation], host: Host, report: Report) -> None:
    """Carry out a plan; the first failure ends it, and what runs by then goes on running."""
    for operation in operations:
        _run_one(operation, host, report)


def _run_one(operation: Operation, host: Host, report: Report) -> None:
    match operation:
        case EnsureNetwork(network):
            if host.ensure_network(network):
                report("Network", network.name, "Created")
        case EnsureVolume(volume):
            if host.ensure_volume(volume):
                report("Volume", volume.name, "Created")
        case RemoveContainer(name, _):
            host.stop(name, None)
            host.remove(name, volumes=False)
            report("Container", name, "Removed")
        case CreateContainer(spec):
            host.create(spec)
            report("Container", str(spec.name), "Created")
        case StartContainer(name):
            report("Container", name, "Starting")
            host.start(name)
            report("Container", name, "Started")
        case AwaitContainer():
            _await(operation, host, report)


def _await(operation: AwaitContainer, host: Host, report: Report) -> None:
    """Wait for a dependency; one that is not required may fail."""
    name = operation.name
    if operation.condition == "service_started":
        return
    report("Container", name, "Waiting")
    try:
        if operation.condition == "service_healthy":
            host.wait_for(name, Condition.HEALTHY, None)
            report("Container", name, "Healthy")
            return
        record = host.wait_for(name, Condition.EXITED, None)
        if record.exit_code:
            raise RunError(f"container {name} ended with exit code {record.exit_code}")
        report("Container", name, "Exited")
    except WasmimgError as error:
        if operation.required:
            raise RunError(
                f"dependency failed to start: {error.message}",
                hint=error.hint or "`wasmimg compose logs` may say why",
            ) from error
        report("Container", name, f"Not ready, and not required: {error.message}")


def await_all(
    records: Sequence[Record], host: Host, report: Report, timeout: float | None = None
) -> None:
    """Wait until every container runs and, where it has a health check, is healthy (`up --wait`).

    One without a health check may have done its work by then.
    """
    for record in records:
        report("Container", record.name, "Waiting")
    for record in records:
        report("Container", record.name, _settled(record, host, timeout))


def _settled(record: Record, host: Host, timeout: float | None) -> str:
    try:
        found = host.wait_for(record.name, Condition.HEALTHY, timeout)
    except RunError:
        if record.healthcheck is not None:
            raise
        if host.wait_for(record.name, Condition.EXITED, timeout).exit_code:
            raise
        return "Exited"
    return "Running" if found.health == "none" else "Healthy"


def take_down(
    project: Project,
    host: Host,
    report: Report,
    *,
    volumes: bool = False,
    grace: float | None = None,
) -> None:
    """Stop and remove a project's containers, dependents first, then its networks; volumes if asked."""
    for group in stop_order(project, host.containers(project.name)):
        stop([group], host, report, grace)
        for record in group:
            host.remove(record.name, volumes=volumes)
            report("Container", record.name, "Removed")
    for network in project.networks.values():
        if not network.external and host.remove_network(network):
            report("Network", network.name, "Removed")
    for volume in project.volumes.values() if volumes else ():
        if not volume.external and host.remove_volume(volume):
            report("Volume", volume.name, "Removed")


def start_again(groups: Sequence[Sequence[Record]], host: Host, report: Report) -> None:
    """Start the containers of each group that do not run, in the groups' order."""
    for record in (record for group in groups for record in group if record.state != "running"):
        host.start(record.name)
        report("Container", record.name, "Started")


def stop(
    groups: Sequence[Sequence[Record]], host: Host, report: Report, grace: float | None
) -> None:
    """Stop the containers of each group, in the groups' order; they stay."""
    for record in (record for group in groups for record in group):
        report("Container", record.name, "Stopping")
        host.stop(record.name, grace)
        report("Container", record.name, "Stopped")


def orphans(project: Project, records: Sequence[Record]) -> list[str]:
    """Name the containers of the project that no service of the file stands for."""
    return [record.name for record in records if label(record, SERVICE) not in project.services]
