"""An index of several images with one shared layer, as `wasmimg build` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wasmimg_images.document import encode
from wasmimg_images.layer_writer import Compression, LayerWriter
from wasmimg_images.spec import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform
from wasmimg_testing.archives import Entry

if TYPE_CHECKING:
    from wasmimg_images.layout import Store

WASI = Platform("wasi", "wasm")
HELLO = b"\0asm\1\0\0\0"


def add_manifest(
    store: Store,
    entries: Sequence[Entry],
    platform: Platform = WASI,
    compression: Compression = "gzip",
    **config: object,
) -> Descriptor:
    """Write an image of one layer; its entrypoint is /a.wasm unless `config` says another."""
    import io

    with LayerWriter(store, compression) as writer:
        for entry in entries:
            writer.tar.file(entry.name, io.BytesIO(entry.data), len(entry.data), entry.mode)
        layer = writer.finish()
    document: dict[str, object] = {
        **platform.document(),
        "config": {"Entrypoint": ["/a.wasm"], **config},
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id)]},
    }
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": store.write(encode(document), OCI_CONFIG).document(),
        "layers": [layer.descriptor.document()],
    }
    return store.write(encode(manifest), OCI_MANIFEST)


def add_index(store: Store, entries: Sequence[tuple[Descriptor, Platform]]) -> Descriptor:
    """Write an index of manifests."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [replace(d, platform=platform).document() for d, platform in entries],
    }
    return store.write(encode(document), OCI_INDEX)


def add_usual_index(store: Store) -> Descriptor:
    """Write an index for wasi/wasm, wasip1/wasm and linux/amd64."""
    content = [Entry("a.wasm", data=HELLO, mode=0o755)]
    wasm = add_manifest(store, content)
    linux = add_manifest(store, content, Platform("linux", "amd64"))
    return add_index(
        store,
        [(wasm, WASI), (wasm, Platform("wasip1", "wasm")), (linux, Platform("linux", "amd64"))],
    )
