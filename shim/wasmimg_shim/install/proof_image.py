"""The image of the proof: a module of a few bytes that says a line, made where it is needed."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wasmimg_images.archive import docker
from wasmimg_images.document import encode
from wasmimg_images.image import select
from wasmimg_images.layer_writer import LayerWriter
from wasmimg_images.layout import Store
from wasmimg_images.spec import OCI_CONFIG, OCI_MANIFEST, Platform

if TYPE_CHECKING:
    from wasmimg_images.reference import Reference

WASI: Final = Platform("wasi", "wasm")
LINE: Final = "wasmimg runs here\n"
_ENTRYPOINT: Final = "proof.wasm"
#: An iovec at 8, then the line that it points to, at 16.
_MODULE: Final = r"""(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\12\00\00\00wasmimg runs here\n")
  (func (export "_start")
    (if (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)) (then unreachable))))
"""


def archive(name: Reference, platform: Platform) -> bytes:
    """Return an archive, as `docker load` and `ctr images import` take it, with one image."""
    with tempfile.TemporaryDirectory(prefix="wasmimg-proof-") as folder:
        store = Store(Path(folder))
        with LayerWriter(store, "none") as layer:
            module = _module()
            layer.tar.file(_ENTRYPOINT, io.BytesIO(module), len(module), 0o755)
            made = layer.finish()
        config: dict[str, object] = {
            **platform.document(),
            "config": {"Entrypoint": [f"/{_ENTRYPOINT}"]},
            "rootfs": {"type": "layers", "diff_ids": [str(made.diff_id)]},
        }
        manifest: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": store.write(encode(config), OCI_CONFIG).document(),
            "layers": [made.descriptor.document()],
        }
        descriptor = store.write(encode(manifest), OCI_MANIFEST)
        sink = io.BytesIO()
        docker.write(store, [(select(store, descriptor, [platform]), [name])], sink)
        return sink.getvalue()


def _module() -> bytes:
    import wasmtime

    return bytes(wasmtime.wat2wasm(_MODULE))
