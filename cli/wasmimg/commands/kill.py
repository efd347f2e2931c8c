"""`wasmimg kill`: send a signal."""

from __future__ import annotations

import os

import click

from wasmimg_images.home import Home


@click.command()
@click.option("-s", "--signal", "number", default="KILL", metavar="SIGNAL", help="TERM, 15, ….")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(containers: tuple[str, ...], number: str) -> None:
    """Send a signal, SIGKILL unless told otherwise, to the containers' first processes."""
    from wasmimg_compose import lifecycle
    from wasmimg_compose.creation import signal_number

    home, chosen = Home.from_environ(os.environ), signal_number(number)
    for name in containers:
        lifecycle.kill(home, name, chosen)
        click.echo(name)
