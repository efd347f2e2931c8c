"""The local store, registries and the builder as the source of a project's images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasmimg_images.errors import NotFound, RegistryError
from wasmimg_images.image import select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmimg_images.home import Home
    from wasmimg_images.spec import Descriptor


class EmbeddedImages:
    """Implements provision.Images on one home; `say` gets the builder's progress, line by line."""

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self._home = home
        self._say = say
        self._store = Store(home.store)

    def digest(self, reference: str, platform: str | None) -> str | None:
        """Look into the local store."""
        try:
            return self._runnable(self._store.resolve(Reference.parse(reference)), platform)
        except NotFound:
            return None

    def _runnable(self, descriptor: Descriptor, platform: str | None) -> str:
        """Give the digest of the manifest that a container would be made of."""
        platforms = [Platform.parse(platform)] if platform else None
        return str(select(self._store, descriptor, platforms).descriptor.digest)

    def pull(self, reference: str, platform: str | None) -> str:
        """Fetch from the registry that the reference names."""
        from wasmimg_images.registry.client import Client

        platforms = [Platform.parse(platform)] if platform else None
        try:
            with Client.from_environ(os.environ, cache=self._home.cache) as client:
                found = client.pull(self._store, Reference.parse(reference), platforms)
        except RegistryError as error:
            raise RegistryError(
                f"image {reference}: {error.message}",
                hint=error.hint or "build or load it, then `wasmimg tag` it so",
            ) from error
        return self._runnable(found, platform)

    def build(self, context: Path, reference: str, platform: str | None) -> str:
        """Build a project and tag the image."""
        from wasmimg_builder.build import Builder, Request

        builder = Builder(self._store, self._home.cache, os.environ, self._say)
        built = builder.build(Request(context, (Reference.parse(reference),)))
        return self._runnable(built.descriptor, platform)
