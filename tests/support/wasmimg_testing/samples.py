"""Small images for tests of distribution: their layers are opaque bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wasmimg_images.digest import Digest
from wasmimg_images.document import encode
from wasmimg_images.spec import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Platform,
)

if TYPE_CHECKING:
    from wasmimg_images.layout import Store

WASI, AMD64, ARM64 = (
    Platform("wasi", "wasm"),
    Platform("linux", "amd64"),
    Platform("linux", "arm64"),
)
RISCV = Platform("linux", "riscv64")


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that look random and are the same every time."""
    return random.Random(seed).randbytes(size)


def add_manifest(store: Store, layers: Sequence[bytes], platform: Platform = WASI) -> Descriptor:
    """Write an image of the given layers."""
    config = {
        **platform.document(),
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in layers]},
    }
    return store.write(
        encode(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": store.write(encode(config), OCI_CONFIG).document(),
                "layers": [store.write(layer, OCI_LAYER).document() for layer in layers],
            }
        ),
        OCI_MANIFEST,
    )


def add_index(store: Store, size: int = 1000) -> Descriptor:
    """Write an index for three platforms that share a layer, as `wasmimg build` does, and a foreign one."""
    shared = content(size)
    entries: list[dict[str, object]] = []
    for platform in (WASI, AMD64, ARM64):
        found = add_manifest(store, [shared], platform)
        entries.append({**found.document(), "platform": platform.document()})
    foreign = add_manifest(store, [content(size, 1)], RISCV)
    entries.append({**foreign.document(), "platform": RISCV.document()})
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return store.write(encode(document), OCI_INDEX)
