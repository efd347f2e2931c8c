"""`wasmimg logout`: forget the credentials for a registry."""

from __future__ import annotations

import os

import click


@click.command()
@click.argument("host", metavar="[HOST]", default="docker.io")
def command(host: str) -> None:
    """Forget the credentials for the registry HOST (default: docker.io)."""
    from wasmimg_images.registry.credentials import Credentials

    for where in Credentials.from_environ(os.environ).erase(host):
        click.echo(f"Took {host} out of {where}.", err=True)
