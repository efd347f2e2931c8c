"""From a module to a Wasm OCI artifact (CNCF TAG Runtime, wasm-oci-artifact): no files, no settings."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from wasmimg_builder.assemble import COMPONENT, CORE
from wasmimg_images.document import encode
from wasmimg_images.spec import OCI_MANIFEST, Descriptor
from wasmimg_images.wasm_layer import ANNOTATION_TITLE, WASM_CONFIG, WASM_LAYER

if TYPE_CHECKING:
    from wasmimg_images.layout import Store
    from wasmimg_images.wasm import Module


def assemble_artifact(
    store: Store, data: bytes, module: Module, name: str, epoch: int
) -> Descriptor:
    """Write layer, config and manifest into the store; gives the manifest's descriptor.

    `name` is the module's file name, `epoch` the time of creation in seconds since 1970.
    """
    layer = store.write(data, WASM_LAYER)
    config = store.write(encode(_config(module, layer, epoch)), WASM_CONFIG)
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.document(),
        "layers": [layer.annotated({ANNOTATION_TITLE: name}).document()],
    }
    return store.write(encode(document), OCI_MANIFEST)


def _config(module: Module, layer: Descriptor, epoch: int) -> dict[str, object]:
    is_component = module.kind == "component"
    created = dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found: dict[str, object] = {
        **(COMPONENT if is_component else CORE).document(),
        "created": created,
        "layerDigests": [str(layer.digest)],
    }
    if is_component:
        found["component"] = {
            "imports": [each.name for each in module.imports],
            "exports": [each.name for each in module.exports],
        }
    return found
