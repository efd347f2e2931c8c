"""Images as other tools make them: each `test/NAME` prints hello, in all shapes that are around.

`runwasi` is what runwasi's oci-tar-builder writes: raw modules as layers of an image without files.
`wkg` and `oras` write the CNCF's Wasm OCI artifact.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.archive import oci
from wasmimg_images.image import host_platform
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import OCI_CONFIG, OCI_MANIFEST, Descriptor, Platform
from wasmimg_testing.images import add_image, layer
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from pathlib import Path

#: name -> platform of an image with files; Docker and `ctr` are told it by --platform
PLATFORMS = {
    "wasip1": Platform("wasip1", "wasm"),
    "wasm32": Platform("wasi", "wasm32"),
    "linux": host_platform(),
}
RUNWASI_LAYER = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
#: name -> media type of the layers of an image without files
LAYERS = {
    "layer-runwasi": RUNWASI_LAYER,
    "layer-content": "application/vnd.wasm.content.layer.v1+wasm",
    "layer-plain": "application/wasm",
}
WASIP1 = Platform("wasip1", "wasm")
ARTIFACT_CONFIG = "application/vnd.wasm.config.v0+json"
TITLE = "org.opencontainers.image.title"


class Module(NamedTuple):
    """A raw module as a layer."""

    title: str
    content: bytes


def add_wasm_layers(
    store: Store,
    name: str,
    media_type: str,
    modules: list[Module],
    entrypoint: list[str],
    *,
    working_dir: str = "",
) -> Descriptor:
    """Write an image whose layers are modules: it has a config, and no files."""
    config = {
        **WASIP1.document(),
        "config": {
            "Entrypoint": entrypoint,
            "WorkingDir": working_dir,
            "Labels": {"containerd.runwasi.layers": name},
        },
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    return _add(store, name, json.dumps(config).encode(), OCI_CONFIG, media_type, modules)


def add_artifact(store: Store, name: str, module: Module) -> Descriptor:
    """Write a Wasm OCI artifact (CNCF TAG Runtime, wasm-oci-artifact)."""
    digest = Descriptor.of(module.content, "application/wasm").digest
    config = {**WASIP1.document(), "layerDigests": [str(digest)], "component": None}
    encoded = json.dumps(config).encode()
    return _add(store, name, encoded, ARTIFACT_CONFIG, "application/wasm", [module])


def _add(
    store: Store,
    name: str,
    config: bytes,
    config_type: str,
    media_type: str,
    modules: list[Module],
) -> Descriptor:
    layers = [
        store.write(module.content, media_type).annotated({TITLE: module.title})
        for module in modules
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": store.write(config, config_type).document(),
        "layers": [each.document() for each in layers],
    }
    descriptor = store.write(json.dumps(manifest).encode(), OCI_MANIFEST)
    store.tag(Reference.parse(name), descriptor)
    return descriptor


def fill(store: Store) -> list[str]:
    """Write all of them into a store; gives their names without `test/`."""
    module = Module("hello.wasm", bytes(guest("hello")))
    for name, platform in PLATFORMS.items():
        files = {module.title: module.content}
        config = {"Entrypoint": ["/hello.wasm"]}
        add_image(store, f"test/{name}", [layer(files)], config, platform)
    for name, media_type in LAYERS.items():
        add_wasm_layers(store, f"test/{name}", media_type, [module], ["/hello.wasm"])
    two = [module, Module("exit42.wasm", bytes(guest("exit42")))]
    add_wasm_layers(store, "test/layer-two", RUNWASI_LAYER, two, ["/exit42.wasm"])
    add_artifact(store, "test/artifact", module)
    return [*PLATFORMS, *LAYERS, "layer-two", "artifact"]


def archive(folder: Path) -> Path:
    """Write them as an archive of images; `folder` is for this alone."""
    store = Store(folder / "store")
    path = folder / "foreign.tar"
    references = [Reference.parse(f"test/{name}") for name in fill(store)]
    with path.open("wb") as sink:
        named = [(store.resolve(reference), (reference,)) for reference in references]
        oci.write_archive(store, named, sink)
    return path
