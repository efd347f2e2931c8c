"""`wasmimg ps`: list containers."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from wasmimg_images.home import Home

if TYPE_CHECKING:
    from wasmimg_compose.record import Record

COLUMNS = ("CONTAINER ID", "IMAGE", "CREATED", "STATUS", "PORTS", "NAMES")


@click.command()
@click.option("-a", "--all", "every", is_flag=True, help="Also those that don't run.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(every: bool, quiet: bool, as_json: bool) -> None:
    """List the containers that run, or wait for their restart."""
    from wasmimg.console import ago, table
    from wasmimg_compose import lifecycle, restart

    found = lifecycle.containers(Home.from_environ(os.environ))
    shown = [record for record in found if every or restart.is_up(record)]
    if quiet:
        for record in shown:
            click.echo(record.short_id)
    elif as_json:
        for record in shown:
            click.echo(json.dumps(_document(record)))
    else:
        rows = [
            (
                record.short_id,
                record.spec.image,
                ago(record.created_at),
                status_of(record),
                ports_of(record),
                record.name,
            )
            for record in reversed(shown)
        ]
        table(COLUMNS, rows)


def status_of(record: Record) -> str:
    """Say how it is: `Up 3 minutes (healthy)`, `Exited (1) 5 seconds ago`."""
    from wasmimg.console import ago
    from wasmimg_compose import restart

    match record.state:
        case "running":
            health = "" if record.health == "none" else f" ({record.health})"
            return f"Up {ago(record.started_at).removesuffix(' ago')}{health}"
        case "exited" | "starting" if restart.is_restarting(record):
            return f"Restarting ({record.exit_code}) {ago(record.finished_at)}"
        case "exited" if record.finished_at:
            return f"Exited ({record.exit_code}) {ago(record.finished_at)}"
        case "exited":
            return f"Exited ({record.exit_code})"
        case other:
            return other.capitalize()


def ports_of(record: Record) -> str:
    """List the published ports: `0.0.0.0:8080->80/tcp`."""
    return ", ".join(
        f"{port.host_ip}:{port.host_port}->{port.container_port}/{port.protocol}"
        for port in record.ports
    )


def _document(record: Record) -> dict[str, object]:
    return {
        "id": record.id,
        "name": record.name,
        "project": record.spec.project,
        "image": record.spec.image,
        "digest": record.image.digest,
        "platform": record.image.platform,
        "state": record.state,
        "health": record.health,
        "pid": record.pid,
        "exit_code": record.exit_code,
        "error": record.error,
        "out_of_memory": record.out_of_memory,
        "created": record.created_at,
        "started": record.started_at,
        "finished": record.finished_at,
        "restarts": record.restarts,
        "addresses": {endpoint.network: endpoint.address for endpoint in record.endpoints},
        "ports": [port._asdict() for port in record.ports],
        "labels": dict(record.spec.labels),
    }
