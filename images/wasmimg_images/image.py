"""Choosing, out of what a name stands for, the one image that is to run."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.config import ImageConfig
from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.spec import (
    DOCKER_CONFIG,
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    Descriptor,
    Index,
    Manifest,
    Platform,
)
from wasmimg_images.tree import MAX_DEPTH
from wasmimg_images.wasm_layer import WASM_CONFIG, file_name, modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wasmimg_images.tree import Blobs

#: Wasm platforms by preference; wasm32 is what early Docker previews wrote.
WASM_PLATFORMS: Final = (
    Platform("wasi", "wasm"),
    Platform("wasip1", "wasm"),
    Platform("wasi", "wasm32"),
    Platform("wasip2", "wasm"),
)
_GO_ARCHITECTURES: Final = {
    "x86_64": Platform("linux", "amd64"),
    "aarch64": Platform("linux", "arm64"),
    "armv7l": Platform("linux", "arm", "v7"),
    "i686": Platform("linux", "386"),
}


class Image(NamedTuple):
    """One image for one platform."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig


def host_platform() -> Platform:
    """Say what this machine's own programs are made for."""
    machine = os.uname().machine
    return _GO_ARCHITECTURES.get(machine, Platform("linux", machine))


def runnable() -> tuple[Platform, ...]:
    """List what can run here, preferred first: Wasm, then this machine's Linux."""
    return (*WASM_PLATFORMS, host_platform())


def select(
    blobs: Blobs,
    descriptor: Descriptor,
    platforms: Sequence[Platform] | None = None,
) -> Image:
    """Pick the image for the first of `platforms` that there is one for; default: `runnable()`.

    Raises NotFound naming the platforms there are, or that the one for it was not pulled.
    """
    wanted = runnable() if platforms is None else tuple(platforms)
    found_here = list(offered(blobs, descriptor))
    for platform in wanted:
        for found, candidate in found_here:
            if _matches(found, platform) and blobs.has(candidate.digest):
                return load(blobs, candidate)
    names = ", ".join(dict.fromkeys(str(found) for found, _ in found_here)) or "none"
    if any(_matches(found, platform) for platform in wanted for found, _ in found_here):
        raise NotFound(
            f"the image for {wanted[0]} is not here, only its index",
            hint=f"pull it with --platform {wanted[0]}",
        )
    raise NotFound(
        f"no image for platform {wanted[0] if len(wanted) == 1 else 'of this machine'}",
        hint=f"{descriptor.digest.short} has: {names}",
    )


def load(blobs: Blobs, descriptor: Descriptor) -> Image:
    """Read a manifest and its config; raises InvalidInput if it is no container image.

    A Wasm artifact counts as one that runs its module; an image of modules without an entrypoint
    runs the first.
    """
    manifest = Manifest.parse(blobs.read(descriptor))
    if manifest.config.media_type not in {OCI_CONFIG, DOCKER_CONFIG, WASM_CONFIG}:
        kind = manifest.artifact_type or manifest.config.media_type
        raise InvalidInput(f"{descriptor.digest.short} is an artifact ({kind}), not an image")
    config = ImageConfig.parse(blobs.read(manifest.config))
    first = next(iter(modules(manifest.layers)), None)
    if first is not None and not config.entrypoint:
        config = replace(config, entrypoint=(f"/{file_name(first)}",))
    return Image(descriptor, manifest, config)


def offered(
    blobs: Blobs,
    descriptor: Descriptor,
    depth: int = 0,
) -> Iterator[tuple[Platform, Descriptor]]:
    """List manifests with their platforms, those of nested indexes too, here or not."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{descriptor.digest.short}: indexes are nested too deep")
    if descriptor.media_type in MANIFESTS:
        platform = descriptor.platform
        if platform is None and blobs.has(descriptor.digest):
            platform = load(blobs, descriptor).config.platform
        if platform is not None:
            yield platform, descriptor
    elif descriptor.media_type in INDEXES:
        if depth and not blobs.has(descriptor.digest):
            return
        for child in Index.parse(blobs.read(descriptor)).manifests:
            yield from offered(blobs, child, depth + 1)
    elif not depth:
        raise InvalidInput(f"{descriptor.digest.short}: {descriptor.media_type!r} is no image")


def _matches(found: Platform, wanted: Platform) -> bool:
    """An image without a variant suits every variant, as in containerd."""
    same = (found.os, found.architecture) == (wanted.os, wanted.architecture)
    return same and (not found.variant or not wanted.variant or found.variant == wanted.variant)
