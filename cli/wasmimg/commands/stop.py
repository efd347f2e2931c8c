"""`wasmimg stop`: end containers gracefully."""

from __future__ import annotations

import os

import click

from wasmimg.durations import seconds
from wasmimg_images.home import Home


@click.command()
@click.option("-t", "--timeout", type=seconds, metavar="SECONDS", help="Grace.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(containers: tuple[str, ...], timeout: float | None) -> None:
    """Send the stop signal, and SIGKILL to what has not ended after ten seconds."""
    from wasmimg_compose import lifecycle

    home = Home.from_environ(os.environ)
    for name in containers:
        lifecycle.stop(home, name, grace=timeout)
        click.echo(name)
