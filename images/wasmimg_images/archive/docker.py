"""Docker's archive, what `docker save` writes and `docker load` reads (Docker image spec v1.2).

It holds one platform of each image. The layout is Docker's own: manifest.json, configs and
uncompressed layer tars; a manifest is made anew on reading, so digests of manifests don't survive.
"""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING, Final, cast

from wasmimg_images.archive.tarball import TarWriter
from wasmimg_images.compression import layer_content
from wasmimg_images.config import ImageConfig
from wasmimg_images.digest import CHUNK
from wasmimg_images.document import Node, encode
from wasmimg_images.errors import DigestMismatch, InvalidInput
from wasmimg_images.reference import Reference
from wasmimg_images.spec import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from wasmimg_images.wasm_layer import modules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wasmimg_images.archive.tarball import Sink
    from wasmimg_images.digest import Digest, Readable
    from wasmimg_images.image import Image
    from wasmimg_images.layout import Store

MANIFEST: Final = "manifest.json"


def write(store: Store, images: Sequence[tuple[Image, Sequence[Reference]]], sink: Sink) -> None:
    """Write images; the same images give the same bytes. Layers come out uncompressed.

    Raises InvalidInput for an image whose layers are no files: this format knows no others.
    """
    entries: list[object] = []
    written: set[Digest] = set()
    with TarWriter(sink) as tar:
        for image, references in images:
            config = image.manifest.config
            _check_writable(image)
            layers: list[str] = []
            for layer, diff_id in zip(image.manifest.layers, image.config.diff_ids, strict=True):
                name = f"{diff_id.hex}/layer.tar"
                layers.append(name)
                if diff_id not in written:
                    written.add(diff_id)
                    _write_layer(store, layer, diff_id, name, tar)
            if config.digest not in written:
                written.add(config.digest)
                raw = image.config.raw
                tar.file(f"{config.digest.hex}.json", io.BytesIO(raw), len(raw))
            entries.append(
                {
                    "Config": f"{config.digest.hex}.json",
                    "Layers": layers,
                    "RepoTags": [r.familiar() for r in references if r.tag],
                },
            )
        manifest = encode(cast("dict[str, object]", entries))
        tar.file(MANIFEST, io.BytesIO(manifest), len(manifest))


def _check_writable(image: Image) -> None:
    name = image.descriptor.digest.short
    if modules(image.manifest.layers):
        raise InvalidInput(
            f"image {name} has modules as layers, for which Docker's archive has no place",
            hint="write an OCI archive instead",
        )
    if len(image.manifest.layers) != len(image.config.diff_ids):
        raise InvalidInput(f"image {name} has other numbers of layers and of diff_ids")


def _write_layer(
    store: Store,
    layer: Descriptor,
    diff_id: Digest,
    name: str,
    tar: TarWriter,
) -> None:
    """Uncompress beside (a tar entry's size comes before its content), then add."""
    with tempfile.TemporaryFile() as spool:

        def fill(content: Readable) -> None:
            while data := content.read(CHUNK):
                spool.write(data)

        with store.open(layer) as stream:
            size = layer_content(stream, layer.size, diff_id, fill)
        spool.seek(0)
        tar.file(name, spool, size)


def images(
    manifest: bytes,
    files: Mapping[str, Descriptor],
    store: Store,
) -> list[tuple[Descriptor, Reference | None]]:
    """Make manifests for the images of an archive whose files are in the store already.

    Raises InvalidInput for a file that the archive names and lacks, DigestMismatch for a layer
    that is not its config's.
    """

    def file(node: Node, media_type: str) -> Descriptor:
        found = files.get(node.text())
        if found is None:
            raise InvalidInput(f"{node.where}: {node.text()!r} is not in the archive")
        return Descriptor(media_type, found.digest, found.size)

    result: list[tuple[Descriptor, Reference | None]] = []
    for entry in Node.parse(manifest, MANIFEST).items():
        config = file(entry.need("Config"), OCI_CONFIG)
        layers = [file(layer, OCI_LAYER) for layer in entry.need("Layers").items()]
        _check(ImageConfig.parse(store.read(config)), layers)
        descriptor = store.write(
            encode(
                {
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "config": config.document(),
                    "layers": [layer.document() for layer in layers],
                },
            ),
            OCI_MANIFEST,
        )
        tags = entry.get("RepoTags")
        names = [Reference.parse(tag) for tag in tags.texts()] if tags else []
        result += [(descriptor, name) for name in names] or [(descriptor, None)]
    return result


def _check(config: ImageConfig, layers: Sequence[Descriptor]) -> None:
    if [layer.digest for layer in layers] != list(config.diff_ids):
        raise DigestMismatch("the archive's layers are not those of the image's configuration")
