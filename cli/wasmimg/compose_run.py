"""The work behind `wasmimg compose`: options turned into calls, results into lines."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, NamedTuple

import click

from wasmimg.console import ago, progress, table, warning
from wasmimg_compose import deploy, restart, runtimes
from wasmimg_compose.collisions import collisions
from wasmimg_compose.creation import require_root
from wasmimg_compose.logstream import Source, lines
from wasmimg_compose.project_lock import held
from wasmimg_compose.provision import provide
from wasmimg_compose.quantities import whole
from wasmimg_compose.reconcile import SERVICE, chosen, label, plan_up, stop_order, unchanged
from wasmimg_compose.record import Records
from wasmimg_compose.service import MOST_REPLICAS
from wasmimg_images.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from wasmimg_compose.embedded_host import EmbeddedHost
    from wasmimg_compose.model import Project, Service
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


class Bringing(NamedTuple):
    """What was asked of `up`."""

    services: tuple[str, ...]
    build: bool
    recreate: bool
    remove_orphans: bool
    scale: tuple[str, ...]
    dry_run: bool


def bring_up(project: Project, home: Home, host: EmbeddedHost, asked: Bringing) -> list[Record]:
    """Provide the images, plan, and run the plan; gives the containers of the chosen services."""
    from wasmimg_compose.embedded_images import EmbeddedImages

    if not asked.dry_run:
        require_root()
    project = _scaled(project, asked.scale)
    wanted = chosen(project, asked.services)
    for name, _, message in collisions(project, wanted):
        raise InvalidInput(f"service {name}: {message}")
    images = EmbeddedImages(home, lambda text: click.echo(text, err=True))
    services = [service for name, service in project.services.items() if name in wanted]
    _warn_of_runtimes(services)
    if asked.dry_run:
        digests = {
            s.spec.image: images.digest(s.spec.image, s.spec.platform) or "" for s in services
        }
        existing = host.containers(project.name)
        _orphans(project, existing, host, remove=False)
        plan = plan_up(project, existing, digests, services=asked.services, recreate=asked.recreate)
        click.echo("\n".join(operation.describe() for operation in plan))
        return []
    digests = provide(services, images, progress, build=asked.build)
    with alone(project, home):
        existing = host.containers(project.name)
        _orphans(project, existing, host, remove=asked.remove_orphans)
        plan = plan_up(project, existing, digests, services=asked.services, recreate=asked.recreate)
        for name in unchanged(existing, wanted, plan):
            progress("Container", name, "Running")
        deploy.run(plan, host, progress)
        return [r for r in host.containers(project.name) if label(r, SERVICE) in wanted]


def tear_down(
    project: Project, home: Home, host: EmbeddedHost, *, volumes: bool, grace: float | None
) -> None:
    """Stop and remove the project's containers and networks, and its volumes if asked."""
    with alone(project, home):
        deploy.take_down(project, host, progress, volumes=volumes, grace=grace)


def alone(project: Project, home: Home) -> AbstractContextManager[None]:
    """Keep other `up`s and `down`s of a project waiting."""

    def waiting() -> None:
        text = f"waiting for another `up` or `down` of project {project.name}"
        click.echo(f"wasmimg: {text}", err=True)

    return held(home, project.name, waiting)


def _warn_of_runtimes(services: Sequence[Service]) -> None:
    """Say once for each runtime that another one stands in for it; InvalidInput for unknown ones."""
    for name in dict.fromkeys(service.spec.runtime for service in services):
        text = runtimes.choose(name).warning
        if text:
            warning(text)


def _scaled(project: Project, scale: Sequence[str]) -> Project:
    services = dict(project.services)
    for text in scale:
        name, _, given = text.partition("=")
        number = whole(given)
        if name not in services or number is None or number > MOST_REPLICAS:
            raise InvalidInput(
                f"--scale {text}: not SERVICE=N, N up to {MOST_REPLICAS}",
                hint=f"services: {', '.join(services)}",
            )
        services[name] = services[name]._replace(scale=number)
    return project._replace(services=services)


def _orphans(
    project: Project, existing: Sequence[Record], host: EmbeddedHost, *, remove: bool
) -> None:
    found = deploy.orphans(project, existing)
    if found and not remove:
        warning(f"no service stands for {', '.join(found)}; --remove-orphans removes them")
    for name in found if remove else ():
        host.stop(name, None)
        host.remove(name, volumes=False)
        progress("Container", name, "Removed")


def attach(home: Home, host: EmbeddedHost, project: Project) -> None:
    """Print the logs until all have ended or the user interrupts, then stop the containers."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print_logs(home, host, project, (), follow=True, tail=None)
    except KeyboardInterrupt:
        click.echo("Stopping…", err=True)
        for group in stop_order(project, host.containers(project.name)):
            for record in group:
                host.stop(record.name, None)
                progress("Container", record.name, "Stopped")


def stop_services(
    project: Project, host: EmbeddedHost, services: Sequence[str], grace: float | None
) -> None:
    """Stop the containers of the named services (none: all), dependents first."""
    found = chosen_containers(project, host, services)
    deploy.stop(stop_order(project, found), host, progress, grace)


def start_services(project: Project, host: EmbeddedHost, services: Sequence[str]) -> None:
    """Start the containers of the named services (none: all) again, what others need first."""
    found = chosen_containers(project, host, services)
    deploy.start_again(stop_order(project, found)[::-1], host, progress)


def chosen_containers(
    project: Project, host: EmbeddedHost, services: Sequence[str]
) -> list[Record]:
    """List the containers of the named services (none: all); InvalidInput for unknown names."""
    for name in services:
        if name not in project.services:
            raise InvalidInput(f"no service is called {name!r}")
    existing = host.containers(project.name)
    found = [r for r in existing if not services or label(r, SERVICE) in services]
    for name in sorted(set(services) - {label(r, SERVICE) for r in found}):
        raise NotFound(f"service {name} has no container", hint="`wasmimg compose up` makes it")
    return found


def print_logs(
    home: Home,
    host: EmbeddedHost,
    project: Project,
    services: Sequence[str],
    *,
    follow: bool,
    tail: int | None,
) -> None:
    """Print the logs of the named services (none: all), each line with its container's name."""
    records, found = Records.of(home), chosen_containers(project, host, services)
    ids = {record.id for record in found}
    prefix = f"{project.name}-"
    sources = [Source(r.name.removeprefix(prefix), records.log(r.id)) for r in found]

    def alive() -> bool:
        now = host.containers(project.name)
        return any(r.id in ids and restart.is_up(r) for r in now)

    for line in lines(sources, tail=tail, follow=alive if follow else None):
        click.echo(str(line))


def show(records: Sequence[Record], *, every: bool, quiet: bool, as_json: bool) -> None:
    """Print the project's containers as Docker Compose does."""
    shown = [record for record in records if every or restart.is_up(record)]
    if quiet:
        for record in shown:
            click.echo(record.id)
        return
    rows = [_row(record) for record in shown]
    keys = ("NAME", "IMAGE", "SERVICE", "CREATED", "STATUS", "PORTS")
    if as_json:
        for record, row in zip(shown, rows, strict=True):
            fields = dict(zip((key.capitalize() for key in keys), row, strict=True))
            click.echo(json.dumps({"ID": record.id, **fields, "Health": record.health}))
        return
    table(keys, rows)


def _row(record: Record) -> tuple[str, ...]:
    from wasmimg.commands.ps import ports_of, status_of

    return (
        record.name,
        record.spec.image,
        label(record, SERVICE),
        ago(record.created_at),
        status_of(record),
        ports_of(record),
    )
