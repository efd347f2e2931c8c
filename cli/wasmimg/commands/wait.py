"""`wasmimg wait`: wait for containers to end."""

from __future__ import annotations

import os

import click

from wasmimg_images.home import Home


@click.command()
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(containers: tuple[str, ...]) -> None:
    """Wait until containers have ended, and print their exit codes."""
    from wasmimg_compose import lifecycle

    home = Home.from_environ(os.environ)
    for name in containers:
        click.echo(lifecycle.wait(home, name))
