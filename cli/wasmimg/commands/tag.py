"""`wasmimg tag`: another name for an image."""

from __future__ import annotations

import os

import click

from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.lookup import find
from wasmimg_images.reference import Reference


@click.command("tag", short_help="Give an image another name.")
@click.argument("source")
@click.argument("target")
def command(source: str, target: str) -> None:
    """Let TARGET stand for the image SOURCE, a name or an id."""
    store = Store(Home.from_environ(os.environ).store)
    store.tag(Reference.parse(target), find(store, source).descriptor)
