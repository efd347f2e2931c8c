"""From a layer to an image that every kind of host takes.

The index lists the Wasm platforms that hosts ask for (`wasi/wasm`: Docker; `wasip1/wasm`: runwasi;
both the same manifest) and `linux/*` entries with crun's annotation, all sharing the one layer.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from wasmimg_images.document import encode
from wasmimg_images.spec import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_images.config import Healthcheck
    from wasmimg_images.layer_writer import Layer
    from wasmimg_images.layout import Store

Shape = Literal["index", "single", "artifact"]

WASI: Final = Platform("wasi", "wasm")
CORE: Final = Platform("wasip1", "wasm")
COMPONENT: Final = Platform("wasip2", "wasm")
LINUX: Final = (Platform("linux", "amd64"), Platform("linux", "arm64"))
#: crun, handler-utils.c: run by its Wasm handler if the first argument ends in .wasm.
COMPATIBLE: Final = {"module.wasm.image/variant": "compat-smart"}
_CREATED_BY: Final = "wasmimg build"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the image's configuration says beside its platform and layer."""

    entrypoint: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[str, ...]
    ports: tuple[str, ...]
    user: str
    workdir: str
    labels: Mapping[str, str]
    volumes: tuple[str, ...]
    healthcheck: Healthcheck | None
    stop_signal: str | None
    epoch: int


def assemble(
    store: Store,
    layer: Layer,
    settings: Settings,
    *,
    component: bool,
    shape: Shape,
) -> Descriptor:
    """Write configs, manifests and index into the store; gives the image's descriptor."""
    wasm = _manifest(store, layer, settings, WASI, {})
    if shape == "single":
        return wasm
    entries = [replace(wasm, platform=WASI)]
    entries.append(replace(wasm, platform=COMPONENT if component else CORE))
    for platform in LINUX:
        manifest = _manifest(store, layer, settings, platform, COMPATIBLE)
        entries.append(replace(manifest, platform=platform))
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry.document() for entry in entries],
    }
    return store.write(encode(document), OCI_INDEX)


def platforms(*, component: bool, shape: Shape) -> tuple[Platform, ...]:
    """List the platforms that an image is made for."""
    if shape == "single":
        return (WASI,)
    if shape == "artifact":
        return (COMPONENT if component else CORE,)
    return (WASI, COMPONENT if component else CORE, *LINUX)


def _manifest(
    store: Store,
    layer: Layer,
    settings: Settings,
    platform: Platform,
    annotations: Mapping[str, str],
) -> Descriptor:
    config = store.write(encode(config_document(layer, settings, platform)), OCI_CONFIG)
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.document(),
        "layers": [layer.descriptor.document()],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return store.write(encode(document), OCI_MANIFEST)


def config_document(layer: Layer, settings: Settings, platform: Platform) -> dict[str, object]:
    """Give the image configuration (image-spec, config.md; Healthcheck is Docker's)."""
    created = dt.datetime.fromtimestamp(settings.epoch, dt.UTC)
    stamp = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    run: dict[str, object] = {
        "Entrypoint": list(settings.entrypoint),
        "Env": list(settings.env),
        "WorkingDir": settings.workdir,
    }
    optional: dict[str, object] = {
        "Cmd": list(settings.args),
        "ExposedPorts": {port: {} for port in settings.ports},
        "Healthcheck": settings.healthcheck.document() if settings.healthcheck else None,
        "Labels": dict(settings.labels),
        "StopSignal": settings.stop_signal,
        "User": settings.user,
        "Volumes": {volume: {} for volume in settings.volumes},
    }
    run |= {key: value for key, value in optional.items() if value}
    return {
        **platform.document(),
        "created": stamp,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id)]},
        "history": [{"created": stamp, "created_by": _CREATED_BY}],
    }
