"""Seeing to it that an image is in the local store before it is run."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from wasmimg_images.errors import NotFound, RegistryError
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform

if TYPE_CHECKING:
    from wasmimg_images.home import Home


def provide(home: Home, image: str, platform: str | None) -> None:
    """Pull an image that the store has not."""
    store, reference = Store(home.store), Reference.parse(image)
    try:
        store.resolve(reference)
    except NotFound:
        from wasmimg.transfer import TransferLines
        from wasmimg_images.registry.client import Client

        click.echo(f"{reference.familiar()} is not here, pulling it", err=True)
        platforms = [Platform.parse(platform)] if platform else None
        try:
            with (
                Client.from_environ(os.environ, cache=home.cache) as client,
                contextlib.closing(TransferLines("pulled", quiet=False)) as lines,
            ):
                client.pull(store, reference, platforms, lines)
        except (NotFound, RegistryError) as error:
            error.hint = error.hint or "is the name right? `wasmimg images` lists what is here"
            raise
