"""`wasmimg logs`: print what a container wrote."""

from __future__ import annotations

import os
import sys

import click

from wasmimg_images.home import Home


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until it ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="The last lines.")
@click.argument("container")
def command(container: str, follow: bool, tail: int | None) -> None:
    """Print a container's output, standard output and error as they came."""
    from wasmimg_compose import lifecycle, restart
    from wasmimg_compose.log import chunks
    from wasmimg_compose.record import Records
    from wasmimg_images.errors import NotFound

    home = Home.from_environ(os.environ)
    records = Records.of(home)
    record = lifecycle.inspect(home, container)

    def runs() -> bool:
        try:
            now = records.load(record.id)
        except NotFound:
            return False
        return now.state == "starting" or restart.is_up(now)

    for data in chunks(records.log(record.id), tail=tail, follow=runs if follow else None):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
