"""`wasmimg uninstall`: undo `wasmimg install`."""

from __future__ import annotations

import os

import click

from wasmimg.installation import Place, carry_out
from wasmimg_images.home import Home
from wasmimg_shim.install import detection, uninstall_plan


@click.command("uninstall", short_help="Undo `wasmimg install`.")
@click.option("--restart", is_flag=True, help="Restart Docker, if that is needed, by systemctl.")
@click.option("--force", is_flag=True, help="Also while containers run that need what is removed.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option("--root", default="/", metavar="DIR", help="Uninstall from another machine's root.")
def command(restart: bool, force: bool, dry_run: bool, root: str) -> None:
    """Remove the launchers and put Docker's configuration back, byte for byte if nobody changed it.

    Images, containers and volumes stay.
    """
    home = Home.from_environ(os.environ)
    place = Place.of(root, home)
    carry_out(
        place,
        lambda: uninstall_plan.plan(
            detection.find_users(place.root, os.environ),
            place.root,
            place.record(),
            place.record_path,
            str(home.run) if place.root.path == "/" else None,
            force=force,
            restart=restart,
        ),
        dry_run=dry_run,
        yes=True,
        nothing="wasmimg is not installed",
    )
