"""`wasmimg restart`: stop containers and start them again."""

from __future__ import annotations

import os

import click

from wasmimg.durations import seconds
from wasmimg_images.home import Home


@click.command()
@click.option("-t", "--timeout", type=seconds, metavar="SECONDS", help="Grace.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(containers: tuple[str, ...], timeout: float | None) -> None:
    """Stop containers, those that run, and start them with the options and files that they had."""
    from wasmimg_compose import lifecycle

    home = Home.from_environ(os.environ)
    for name in containers:
        lifecycle.restart(home, name, grace=timeout)
        click.echo(name)
