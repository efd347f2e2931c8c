"""`wasmimg start`: start containers again."""

from __future__ import annotations

import os

import click

from wasmimg_images.home import Home


@click.command()
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(containers: tuple[str, ...]) -> None:
    """Start containers that don't run, with the options and files that they had."""
    from wasmimg_compose import lifecycle

    home = Home.from_environ(os.environ)
    for name in containers:
        lifecycle.start(home, name)
        click.echo(name)
