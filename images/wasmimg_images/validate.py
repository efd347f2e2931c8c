"""Every rule that an image must keep, checked against its blobs; all problems are reported.

The specification's JSON schemas accept negative sizes and digests such as `sha256:XYZ`; reading
the documents into values refuses those, and this module checks what holds between documents.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.compression import layer_content
from wasmimg_images.config import ImageConfig
from wasmimg_images.digest import CHUNK, Digest
from wasmimg_images.errors import DigestMismatch, InvalidInput, NotFound, WasmimgError
from wasmimg_images.foldertree import parts_of
from wasmimg_images.spec import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
    Index,
    Manifest,
)
from wasmimg_images.tarstream import entries
from wasmimg_images.tree import MAX_DEPTH
from wasmimg_images.wasm import inspect
from wasmimg_images.wasm_layer import file_name, modules

if TYPE_CHECKING:
    from wasmimg_images.digest import Readable
    from wasmimg_images.layout import Store
    from wasmimg_images.spec import Platform

_LAYERS: Final = frozenset(
    {OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP},
)
_CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
#: Names of one and the same thing: an entry may say the one and its config the other.
_WASI: Final = frozenset({"wasi", "wasip1", "wasip2"})
_MAX_MODULE: Final = 256 << 20


class Problem(NamedTuple):
    """What is wrong, and with which blob."""

    digest: Digest
    what: str

    def __str__(self) -> str:
        return f"{self.digest.short}: {self.what}"


def validate(store: Store, descriptor: Descriptor) -> list[Problem]:
    """Check an image, or all of an index that is here; an empty list is a good image."""
    check = _Check(store)
    check.document(descriptor, 0)
    return check.problems


class _Check:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: set[Digest] = set()
        self.problems: list[Problem] = []

    def _add(self, digest: Digest, what: str) -> None:
        self.problems.append(Problem(digest, what))

    def document(self, descriptor: Descriptor, depth: int) -> None:
        """Check an index or a manifest and what is below it."""
        digest = descriptor.digest
        if depth > MAX_DEPTH:
            self._add(digest, "indexes are nested too deep")
            return
        try:
            raw = self._store.read(descriptor)
            if descriptor.media_type in INDEXES:
                self._index(digest, Index.parse(raw), depth)
            elif descriptor.media_type in MANIFESTS:
                self._manifest(descriptor, Manifest.parse(raw))
            else:
                self._add(digest, f"{descriptor.media_type!r} is no index or manifest")
        except (InvalidInput, NotFound, DigestMismatch) as error:
            self._add(digest, error.message)

    def _index(self, digest: Digest, index: Index, depth: int) -> None:
        if not index.manifests:
            self._add(digest, "the index is empty")
        taken: set[Platform] = set()
        for entry in index.manifests:
            if entry.platform is not None and entry.platform.os != "unknown":
                if entry.platform in taken:
                    self._add(digest, f"two entries for {entry.platform}")
                taken.add(entry.platform)
            if self._store.has(entry.digest):  # other platforms need not have been pulled
                self.document(entry, depth + 1)

    def _manifest(self, descriptor: Descriptor, manifest: Manifest) -> None:
        digest = descriptor.digest
        if manifest.media_type != descriptor.media_type:
            self._add(digest, f"is {manifest.media_type}, not {descriptor.media_type}")
        if manifest.config.media_type not in _CONFIGS:
            for blob in (manifest.config, *manifest.layers):
                self._blob(blob)
            return
        if modules(manifest.layers):
            self._modules(manifest)
            return
        config = ImageConfig.parse(self._store.read(manifest.config))
        if descriptor.platform is not None and not _same(descriptor.platform, config.platform):
            self._add(digest, f"is listed for {descriptor.platform}, made for {config.platform}")
        if len(manifest.layers) != len(config.diff_ids):
            self._add(
                digest,
                f"{len(manifest.layers)} layers and {len(config.diff_ids)} diff_ids",
            )
            return
        contents = _Contents(config)
        for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
            self._layer(layer, diff_id, contents)
        for what in contents.problems():
            self._add(digest, what)

    def _modules(self, manifest: Manifest) -> None:
        """Check the layers of an image without files."""
        for layer in manifest.layers:
            self._blob(layer)
            if layer.size <= _MAX_MODULE:
                with self._store.open(layer) as stream:
                    inspect(stream.read(), file_name(layer))

    def _blob(self, blob: Descriptor) -> None:
        if blob.digest in self._seen:
            return
        self._seen.add(blob.digest)
        try:
            with self._store.open(blob) as stream:
                while stream.read(CHUNK):
                    pass
        except WasmimgError as error:
            self._add(blob.digest, error.message)

    def _layer(self, layer: Descriptor, diff_id: Digest, contents: _Contents) -> None:
        if layer.media_type not in _LAYERS:
            self._add(layer.digest, f"layers of type {layer.media_type!r} are not supported")
            self._blob(layer)
            return
        try:
            with self._store.open(layer) as stream:
                layer_content(stream, layer.size, diff_id, contents.read)
        except WasmimgError as error:
            self._add(layer.digest, error.message)


class _Contents:
    """What the layers hold, as far as rules speak about it."""

    def __init__(self, config: ImageConfig) -> None:
        self._is_wasm = config.platform.architecture.startswith("wasm")
        program = (*config.entrypoint, *config.cmd)[:1]
        path = program[0].partition("#")[0] if program else ""
        self._entrypoint = posixpath.normpath(f"/{config.working_dir}/{path}" if path else "/")
        if path.startswith("/"):
            self._entrypoint = posixpath.normpath(path)
        self._module: bytes | None = None
        self._problems: list[str] = []

    def read(self, tar: Readable) -> None:
        """Look at one layer."""
        for entry, content in entries(tar):
            try:
                path = "/" + "/".join(parts_of(entry.name))
            except InvalidInput as error:
                self._problems.append(error.message)
                continue
            if entry.ischr() or entry.isblk():
                self._problems.append(f"{entry.name!r} is a device node")
            if entry.islnk() and (entry.linkname.startswith("/") or ".." in entry.linkname):
                self._problems.append(f"{entry.name!r} is a hard link to {entry.linkname!r}")
            wanted = self._is_wasm and path == self._entrypoint
            if wanted and content is not None and entry.size <= _MAX_MODULE:
                self._module = content.read(entry.size)

    def problems(self) -> list[str]:
        """Say what is wrong, once all layers were read."""
        found = list(self._problems)
        if self._is_wasm and self._module is None:
            found.append(f"the entrypoint {self._entrypoint} is not in the image")
        elif self._module is not None:
            try:
                inspect(self._module, self._entrypoint)
            except InvalidInput as error:
                found.append(error.message)
        return found


def _same(listed: Platform, made: Platform) -> bool:
    if listed.os in _WASI and made.os in _WASI:
        return listed.architecture == made.architecture
    return (listed.os, listed.architecture) == (made.os, made.architecture)
