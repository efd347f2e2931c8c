"""`wasmimg run`: make a container of an image and start it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wasmimg.run_options import Asked, spec_of
from wasmimg_images.errors import InvalidInput
from wasmimg_images.home import Home

if TYPE_CHECKING:
    from wasmimg_compose.container import ContainerSpec
    from wasmimg_compose.record import Record


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-d", "--detach", is_flag=True, help="Print the id and leave it running.")
@click.option("--rm", is_flag=True, help="Remove the container when it ends.")
@click.option("--name", metavar="NAME", help="Its name, also for other containers.")
@click.option("-p", "--publish", multiple=True, metavar="[[IP:]HOST:]PORT[/udp]", help="Publish.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Set variables from a file.")
@click.option("-v", "--volume", multiple=True, metavar="[SOURCE:]TARGET[:ro]", help="Mount.")
@click.option("--tmpfs", multiple=True, metavar="TARGET[:OPTIONS]", help="Mount a tmpfs.")
@click.option("-w", "--workdir", metavar="DIR", help="Working directory.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Names or numbers.")
@click.option("-m", "--memory", metavar="SIZE", help="Memory limit, as in 64m.")
@click.option("--cpus", type=click.FloatRange(min=0.01), metavar="N", help="Processors, as in 0.5.")
@click.option("--pids-limit", type=click.IntRange(min=-1), metavar="N", help="Processes at most.")
@click.option("--runtime", metavar="NAME", help="wasmtime, wasmedge or io.containerd.….v1.")
@click.option("--network", multiple=True, metavar="NAME", help="bridge, host, none or a network.")
@click.option("--entrypoint", metavar="PROGRAM", help="Run this instead of the image's.")
@click.option("-i", "--interactive", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, hidden=True)
@click.option("--read-only", is_flag=True, help="Mount the root filesystem read-only.")
@click.option("-h", "--hostname", metavar="NAME", help="The container's host name.")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Label it.")
@click.option("--platform", metavar="OS/ARCH", help="Which image of the index to run.")
@click.option("--restart", default="no", metavar="POLICY", help="no, always, on-failure[:N] ….")
@click.option("--stop-signal", metavar="SIGNAL", help="What stop sends.")
@click.option("--add-host", multiple=True, metavar="NAME:IP", help="Add a line to /etc/hosts.")
@click.argument("image")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(detach: bool, tty: bool, image: str, args: tuple[str, ...], **options: object) -> int:
    """Run an image as a container; the exit code is the guest's.

    The image is pulled when it is not in the local store.
    """
    from wasmimg.local_image import provide
    from wasmimg_compose import creation, lifecycle

    if tty:
        raise InvalidInput("there are no terminals yet; leave -t out", hint="-i works without it")
    creation.require_root()
    home = Home.from_environ(os.environ)
    asked = Asked(options)
    spec = spec_of(asked, image, args, Path.cwd(), os.environ)
    creation.check(spec)
    _warn(spec)
    provide(home, spec.image, spec.platform)
    record = lifecycle.create(home, spec)
    try:
        if detach:
            lifecycle.start(home, record.id)
            click.echo(record.id)
            return 0
        return _in_foreground(home, record, interactive=spec.interactive)
    except BaseException:
        _remove_unstarted(home, record)
        raise


def _in_foreground(home: Home, record: Record, *, interactive: bool) -> int:
    from wasmimg_compose.foreground import Foreground

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    stdin = sys.stdin.fileno() if interactive else None
    foreground = Foreground(home, record)
    status = foreground.run(stdin, sys.stdout.fileno(), sys.stderr.fileno())
    if foreground.out_of_memory:
        message = f"wasmimg: a process of {record.name} was killed: the memory limit was reached"
        click.echo(message, err=True)
    return status


def _remove_unstarted(home: Home, record: Record) -> None:
    """Leave nothing of a container that never ran."""
    from wasmimg_compose import lifecycle
    from wasmimg_images.errors import NotFound

    with contextlib.suppress(NotFound):
        if lifecycle.inspect(home, record.id).state == "created":
            lifecycle.remove(home, record.id, volumes=True)


def _warn(spec: ContainerSpec) -> None:
    from wasmimg_compose import runtimes
    from wasmimg_compose.container import HOST, NONE

    alone = [each.network for each in spec.networks if each.network in {HOST, NONE}]
    unpublished = f"--network {alone[0]}: -p has no effect" if alone and spec.ports else None
    for text in (runtimes.choose(spec.runtime).warning, unpublished):
        if text:
            from wasmimg.console import warning

            warning(text)
