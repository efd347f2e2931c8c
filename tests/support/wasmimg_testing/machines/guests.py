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
TOOLBOX = {"Entrypoint": ["/toolbox.wasm"], "Env": ["IMAGE=yes"]}


def archive(folder: Path, toolbox: bytes | None = None) -> Path:
    """Write the archive; `folder` is for this alone, `toolbox` the compiled guest of that name."""
    store = Store(folder / "store")
    names = [*GUESTS, "busy"]
    for name in GUESTS:
        files = {f"{name}.wasm": bytes(guest(name))}
        add_image(store, f"test/{name}", [layer(files)], {"Entrypoint": [f"/{name}.wasm"]}, WASI)
    if toolbox is not None:
        names.append("toolbox")
        add_image(store, "test/toolbox", [layer(_toolbox(toolbox))], TOOLBOX, WASI)
    shell = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    add_image(store, "test/busy", [layer(busybox_files())], shell, host_platform())
    references = [Reference.parse(f"test/{name}") for name in names]
    path = folder / "images.tar"
    with path.open("wb") as sink:
        named = [(store.resolve(reference), (reference,)) for reference in references]
        oci.write_archive(store, named, sink)
    return path


def _toolbox(module: bytes) -> dict[str, bytes | str]:
    users = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
    return {
        "toolbox.wasm": module,
        "not.wasm": b"neither Wasm nor a program",
        "etc/": b"",
        "etc/passwd": users,
        "data/": b"",
        "data/given": b"given\n",
    }
