"""`wasmimg rm`: remove containers."""

from __future__ import annotations

import os

import click

from wasmimg_images.home import Home


@click.command()
@click.option("-f", "--force", is_flag=True, help="Also those that run: they are killed.")
@click.option("-v", "--volumes", is_flag=True, help="Their anonymous volumes too.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(containers: tuple[str, ...], force: bool, volumes: bool) -> None:
    """Remove containers that don't run."""
    from wasmimg_compose import lifecycle

    home = Home.from_environ(os.environ)
    for name in containers:
        lifecycle.remove(home, name, force=force, volumes=volumes)
        click.echo(name)
