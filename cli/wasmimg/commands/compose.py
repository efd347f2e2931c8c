"""`wasmimg compose`: up, down, start, stop, restart, ps, logs, config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from wasmimg.durations import seconds

if TYPE_CHECKING:
    from wasmimg_compose.embedded_host import EmbeddedHost
    from wasmimg_compose.model import Project
    from wasmimg_images.home import Home


class Chosen(NamedTuple):
    """The options before the subcommand."""

    file: str | None
    name: str | None
    env_file: str | None

    def project(self) -> Project:
        """Read the Compose file, and print what it warns of."""
        from wasmimg.console import warning
        from wasmimg_compose.project import find, load

        path = Path(self.file) if self.file else find(Path.cwd())
        project = load(
            path,
            os.environ,
            name=self.name,
            env_file=Path(self.env_file) if self.env_file else None,
        )
        for text in project.warnings:
            warning(text)
        return project


def machine(project: Project) -> tuple[Home, EmbeddedHost]:
    """Take this user's home as the host."""
    from wasmimg_compose.embedded_host import EmbeddedHost
    from wasmimg_images.home import Home

    home = Home.from_environ(os.environ)
    return home, EmbeddedHost(home, project.name)


@click.group()
@click.option(
    "-f", "--file", metavar="FILE", help="The Compose file; else compose.yaml, here or above."
)
@click.option("-p", "--project-name", "name", metavar="NAME", help="The project's name.")
@click.option("--env-file", metavar="FILE", help="Variables; else .env beside the Compose file.")
@click.pass_context
def command(ctx: click.Context, file: str | None, name: str | None, env_file: str | None) -> None:
    """Run the services of a Compose file, without Docker."""
    ctx.obj = Chosen(file, name, env_file)


@command.command()
@click.argument("services", nargs=-1, metavar="[SERVICE…]")
@click.option("-d", "--detach", is_flag=True, help="Return when all is started.")
@click.option("--build", is_flag=True, help="Build images anew.")
@click.option("--wait", is_flag=True, help="Wait until all is running or healthy; implies -d.")
@click.option("--wait-timeout", type=seconds, metavar="SECONDS", help="The longest wait.")
@click.option("--force-recreate", is_flag=True, help="Replace containers that have not changed.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of services that are gone.")
@click.option("--scale", multiple=True, metavar="SERVICE=N", help="Run N containers of a service.")
@click.option("--dry-run", is_flag=True, help="Print the steps, and do nothing.")
@click.pass_obj
def up(
    chosen: Chosen,
    services: tuple[str, ...],
    detach: bool,
    build: bool,
    wait: bool,
    wait_timeout: float | None,
    force_recreate: bool,
    remove_orphans: bool,
    scale: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Make and start the services, and what they need."""
    from wasmimg.compose_run import Bringing, attach, bring_up

    project = chosen.project()
    home, host = machine(project)
    bringing = Bringing(services, build, force_recreate, remove_orphans, scale, dry_run)
    records = bring_up(project, home, host, bringing)
    if wait:
        from wasmimg.console import progress
        from wasmimg_compose.deploy import await_all

        await_all(records, host, progress, wait_timeout)
    if not (detach or wait or dry_run):
        attach(home, host, project)


@command.command()
@click.option("-v", "--volumes", is_flag=True, help="Remove the volumes and their data as well.")
@click.option("-t", "--timeout", type=seconds, metavar="SECONDS", help="Grace before SIGKILL.")
@click.pass_obj
def down(chosen: Chosen, volumes: bool, timeout: float | None) -> None:
    """Stop and remove the project's containers and networks."""
    from wasmimg.compose_run import tear_down

    project = chosen.project()
    tear_down(project, *machine(project), volumes=volumes, grace=timeout)


@command.command()
@click.argument("services", nargs=-1, metavar="[SERVICE…]")
@click.pass_obj
def start(chosen: Chosen, services: tuple[str, ...]) -> None:
    """Start the services' containers that were stopped, as they are."""
    from wasmimg.compose_run import start_services

    project = chosen.project()
    start_services(project, machine(project)[1], services)


@command.command()
@click.argument("services", nargs=-1, metavar="[SERVICE…]")
@click.option("-t", "--timeout", type=seconds, metavar="SECONDS", help="Grace before SIGKILL.")
@click.pass_obj
def stop(chosen: Chosen, services: tuple[str, ...], timeout: float | None) -> None:
    """Stop the services' containers, and keep them."""
    from wasmimg.compose_run import stop_services

    project = chosen.project()
    stop_services(project, machine(project)[1], services, timeout)


@command.command()
@click.argument("services", nargs=-1, metavar="[SERVICE…]")
@click.option("-t", "--timeout", type=seconds, metavar="SECONDS", help="Grace before SIGKILL.")
@click.pass_obj
def restart(chosen: Chosen, services: tuple[str, ...], timeout: float | None) -> None:
    """Stop the services' containers and start them, as they are."""
    from wasmimg.compose_run import start_services, stop_services

    project = chosen.project()
    host = machine(project)[1]
    stop_services(project, host, services, timeout)
    start_services(project, host, services)


@command.command()
@click.option("-a", "--all", "every", is_flag=True, help="Also those that ended.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def ps(chosen: Chosen, every: bool, quiet: bool, as_json: bool) -> None:
    """List the project's containers."""
    from wasmimg.compose_run import show

    project = chosen.project()
    _, host = machine(project)
    show(host.containers(project.name), every=every, quiet=quiet, as_json=as_json)


@command.command()
@click.argument("services", nargs=-1, metavar="[SERVICE…]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--tail", type=int, metavar="LINES", help="Begin with the last lines.")
@click.pass_obj
def logs(chosen: Chosen, services: tuple[str, ...], follow: bool, tail: int | None) -> None:
    """Print the services' logs."""
    from wasmimg.compose_run import print_logs

    project = chosen.project()
    home, host = machine(project)
    print_logs(home, host, project, services, follow=follow, tail=tail)


@command.command()
@click.option("-q", "--quiet", is_flag=True, help="Only check the file.")
@click.option("--services", is_flag=True, help="Print the services' names.")
@click.pass_obj
def config(chosen: Chosen, quiet: bool, services: bool) -> None:
    """Check the file, and print it with everything filled in."""
    from wasmimg_compose.render import render

    project = chosen.project()
    if services:
        click.echo("\n".join(sorted(project.services)))
    elif not quiet:
        click.echo(render(project), nl=False)
