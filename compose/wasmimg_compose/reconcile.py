"""What is to be done so that a project's containers are as its file says: a pure plan.

Desired state (Project) against actual state (Records) gives a list of operations in the order that
they are to be run in. Running them is deploy.py's.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose.fields import plain
from wasmimg_compose.graph import closure, waves
from wasmimg_compose.model import Condition, Network, Service, Volume  # noqa: TC001 - NamedTuple fields
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from wasmimg_compose.container import ContainerSpec
    from wasmimg_compose.model import Project
    from wasmimg_compose.record import Record

#: Docker Compose's own labels, so that tools which look for them find them.
PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
NUMBER: Final = "com.docker.compose.container-number"
CONFIG_HASH: Final = "com.docker.compose.config-hash"


class EnsureNetwork(NamedTuple):
    """Make a network unless it is there."""

    network: Network

    def describe(self) -> str:
        """Say it in words."""
        return f"network {self.network.name}: make it unless it exists"


class EnsureVolume(NamedTuple):
    """Make a volume unless it is there."""

    volume: Volume

    def describe(self) -> str:
        """Say it in words."""
        return f"volume {self.volume.name}: make it unless it exists"


class RemoveContainer(NamedTuple):
    """Stop and remove a container that is no longer as the file says, or one too many."""

    name: str
    reason: str

    def describe(self) -> str:
        """Say it in words."""
        return f"container {self.name}: remove it ({self.reason})"


class CreateContainer(NamedTuple):
    """Make a container."""

    spec: ContainerSpec

    def describe(self) -> str:
        """Say it in words."""
        return f"container {self.spec.name}: create it from {self.spec.image}"


class AwaitContainer(NamedTuple):
    """Wait until a container is as a dependent service wants it."""

    name: str
    condition: Condition
    required: bool = True

    def describe(self) -> str:
        """Say it in words."""
        return f"container {self.name}: wait for {self.condition}"


class StartContainer(NamedTuple):
    """Start a container."""

    name: str

    def describe(self) -> str:
        """Say it in words."""
        return f"container {self.name}: start it"


Operation = (
    EnsureNetwork
    | EnsureVolume
    | RemoveContainer
    | CreateContainer
    | AwaitContainer
    | StartContainer
)


def label(record: Record, key: str) -> str:
    """Read one label of a container, "" where it has none."""
    return dict(record.spec.labels).get(key, "")


def wanted_specs(project: Project, service: Service) -> list[ContainerSpec]:
    """Give the containers of a service with their names and labels, numbered from 1."""
    digest = hashlib.sha256(json.dumps(plain(service.spec), sort_keys=True).encode()).hexdigest()
    return [
        service.spec._replace(
            name=service.spec.name or f"{project.name}-{service.name}-{number}",
            labels=(
                *service.spec.labels,
                (PROJECT, project.name),
                (SERVICE, service.name),
                (NUMBER, str(number)),
                (CONFIG_HASH, digest),
            ),
        )
        for number in range(1, service.scale + 1)
    ]


def chosen(project: Project, named: Collection[str]) -> set[str]:
    """Give the services to be up: those named (none: all without a profile), and what they need.

    Naming a service activates its profiles, needing one does not (Compose specification, 15-profiles):
    raises InvalidInput for what is required and not active, and for an unknown service.
    """
    services = project.services
    active = {p for name in named if name in services for p in services[name].profiles}

    def is_active(name: str) -> bool:
        profiles = services[name].profiles
        return not profiles or not active.isdisjoint(profiles)

    needs = {
        name: {d.service for d in service.depends_on if d.required or is_active(d.service)}
        for name, service in services.items()
    }
    found = closure(needs, named or [name for name in services if is_active(name)])
    for name in sorted(found):
        for other in sorted(needs[name]):
            if not is_active(other):
                raise InvalidInput(
                    f"services.{name}.depends_on: {other} has the profile "
                    f"{' or '.join(services[other].profiles)}, which is not active",
                    hint=f"name it as well (`up {name} {other}`), or write `required: false`",
                )
    return found


def plan_up(
    project: Project,
    existing: Sequence[Record],
    digests: Mapping[str, str],
    *,
    services: Collection[str] = (),
    recreate: bool = False,
) -> list[Operation]:
    """Plan the steps to have the chosen() services run.

    `digests` says which image each reference means now: a container of another one is replaced.
    """
    needs, found = project.needs(), chosen(project, services)
    used_networks = {a.network for n in found for a in project.services[n].spec.networks}
    used_volumes = {
        m.source for n in found for m in project.services[n].spec.mounts if m.kind == "volume"
    }
    steps: list[Operation] = [
        *(EnsureNetwork(n) for n in project.networks.values() if n.name in used_networks),
        *(EnsureVolume(v) for v in project.volumes.values() if v.name in used_volumes),
    ]
    for wave in waves({name: needs[name] & found for name in found}):
        changes = [_service_steps(project, name, existing, digests, recreate) for name in wave]
        steps += [step for making, _ in changes for step in making]
        for name, (_, starts) in zip(wave, changes, strict=True):
            if starts:
                steps += _awaited(project, project.services[name], found)
            steps += starts
    return steps


def _service_steps(
    project: Project,
    name: str,
    existing: Sequence[Record],
    digests: Mapping[str, str],
    recreate: bool,
) -> tuple[list[Operation], list[Operation]]:
    """Plan one service: what makes its containers, and what starts them."""
    service = project.services[name]
    specs = {str(spec.name): spec for spec in wanted_specs(project, service)}
    have = {record.name: record for record in existing if label(record, SERVICE) == name}
    making: list[Operation] = [
        RemoveContainer(extra, "one too many") for extra in sorted(have.keys() - specs.keys())
    ]
    starts: list[Operation] = []
    for container, spec in specs.items():
        record = have.get(container)
        reason = _difference(record, spec, digests, recreate) if record else None
        if reason:
            making.append(RemoveContainer(container, reason))
        if record is None or reason:
            making.append(CreateContainer(spec))
        if record is None or reason or record.state != "running":
            starts.append(StartContainer(container))
    return making, starts


def _difference(
    record: Record, spec: ContainerSpec, digests: Mapping[str, str], recreate: bool
) -> str | None:
    if recreate:
        return "asked for"
    if label(record, CONFIG_HASH) != dict(spec.labels)[CONFIG_HASH]:
        return "its service changed"
    if record.image.digest != digests.get(spec.image, record.image.digest):
        return "its image changed"
    return None


def unchanged(
    existing: Sequence[Record], services: Collection[str], plan: Sequence[Operation]
) -> list[str]:
    """Name the containers of the services that run and that the plan leaves alone."""
    touched = {step.name for step in plan if isinstance(step, RemoveContainer | StartContainer)}
    return [
        record.name
        for record in existing
        if label(record, SERVICE) in services
        and record.state == "running"
        and record.name not in touched
    ]


def _awaited(project: Project, service: Service, chosen: set[str]) -> list[Operation]:
    return [
        AwaitContainer(str(spec.name), dependency.condition, dependency.required)
        for dependency in service.depends_on
        if dependency.service in chosen
        for spec in wanted_specs(project, project.services[dependency.service])
    ]


def stop_order(project: Project | None, existing: Sequence[Record]) -> list[list[Record]]:
    """Group containers so that each is stopped before what it needs; orphans come first."""
    order = list(reversed(waves(project.needs()))) if project else []
    known = {name for wave in order for name in wave}
    groups = [[record for record in existing if label(record, SERVICE) not in known]]
    groups += [[record for record in existing if label(record, SERVICE) in wave] for wave in order]
    return [group for group in groups if group]
