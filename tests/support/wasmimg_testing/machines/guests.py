"""Images for machines: small Wasm guests, and a shell; each is `test/NAME`, all in one archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_images.archive import oci
from wasmimg_images.image import host_platform
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, busybox_files, layer
from wasmimg_testing.shims import GUESTS, guest

if TYPE_CHECKING:
    from pathlib import Path

WASI = Platform("wasi", "wasm")


def archive(folder: Path) -> Path:
    """Write the archive; `folder` is for this alone."""
    store = Store(folder / "store")
    for name in GUESTS:
        files = {f"{name}.wasm": bytes(guest(name))}
        add_image(store, f"test/{name}", [layer(files)], {"Entrypoint": [f"/{name}.wasm"]}, WASI)
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    add_image(store, "test/busy", [layer(busybox_files())], config, host_platform())
    named = [
        (store.resolve(reference), (reference,))
        for reference in (Reference.parse(f"test/{name}") for name in (*GUESTS, "busy"))
    ]
    path = folder / "images.tar"
    with path.open("wb") as sink:
        oci.write_archive(store, named, sink)
    return path
