"""`wasmimg install`: register the runtime with the container engines of this machine."""

from __future__ import annotations

import os

import click

from wasmimg.installation import Place, carry_out
from wasmimg_images.errors import InvalidInput
from wasmimg_images.home import Home
from wasmimg_shim.install import detection, install_plan, launchers
from wasmimg_shim.install.install_plan import Options


@click.command("install", short_help="Register the runtime with Docker and containerd.")
@click.option(
    "--host", type=click.Choice(detection.HOSTS), default="auto", help="For which engine."
)
@click.option("--bin-dir", default=install_plan.BIN_DIR, metavar="DIR", help="For the launchers.")
@click.option(
    "--drop-ins/--no-drop-ins", default=True, help="Take wasmedge's and wasmtime's names too."
)
@click.option("--keep-image-store", is_flag=True, help="Leave Docker's image store as it is.")
@click.option("--restart", is_flag=True, help="Restart Docker, if that is needed, by systemctl.")
@click.option("--proof/--no-proof", default=True, help="Run a Wasm image at the end.")
@click.option("--force", is_flag=True, help="Replace what is another program's; it is kept aside.")
@click.option("-y", "--yes", is_flag=True, help="Agree to what would be asked.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option("--root", default="/", metavar="DIR", help="Install into another machine's root.")
def command(host: str, root: str, dry_run: bool, yes: bool, **chosen: object) -> None:
    """Put the shim's launchers on PATH, tell Docker of the runtime, and run a Wasm image.

    What an earlier, interrupted install has left is completed. `wasmimg uninstall` undoes all of it.
    """
    bin_dir = os.path.normpath(str(chosen["bin_dir"]))
    if not os.path.isabs(bin_dir):
        raise InvalidInput(f"--bin-dir {bin_dir} is no absolute path", hint="start it with a slash")
    options = Options(
        bin_dir,
        drop_ins=bool(chosen["drop_ins"]),
        force=bool(chosen["force"]),
        restart=bool(chosen["restart"]),
        proof=bool(chosen["proof"]),
        keep_image_store=bool(chosen["keep_image_store"]),
    )
    place = Place.of(root, Home.from_environ(os.environ))
    carry_out(
        place,
        lambda: install_plan.plan(
            detection.find(host, place.root, os.environ),
            place.root,
            launchers.of_this_installation(place.root),
            place.record(),
            place.record_path,
            options,
        ),
        dry_run=dry_run,
        yes=yes,
        nothing="wasmimg is installed already",
    )
