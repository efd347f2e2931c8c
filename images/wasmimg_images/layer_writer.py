"""Making a layer straight into the store: tar, compressed, hashed on both sides, never in memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from wasmimg_images.archive.tarball import TarWriter
from wasmimg_images.digest import Digest, hasher
from wasmimg_images.spec import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor

if TYPE_CHECKING:
    from typing import Protocol, Self

    from wasmimg_images.layout import Store

    class _Compressor(Protocol):
        def compress(self, data: bytes, /) -> bytes: ...
        def flush(self) -> bytes: ...


Compression = Literal["gzip", "gzip-fast", "zstd", "none"]
MEDIA_TYPES: Final[dict[Compression, str]] = {
    "gzip": OCI_LAYER_GZIP,
    "gzip-fast": OCI_LAYER_GZIP,
    "zstd": OCI_LAYER_ZSTD,
    "none": OCI_LAYER,
}
#: Levels are part of what an image's digest depends on: changing one changes every digest.
_GZIP_LEVEL: Final = 9
_FAST_LEVEL: Final = 1
_ZSTD_LEVEL: Final = 3
_GZIP_FRAME: Final = 31  # zlib writes a header without name and time


class Layer(NamedTuple):
    """A finished layer: the blob, and the digest of the tar in it."""

    descriptor: Descriptor
    diff_id: Digest
    uncompressed_size: int


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(compression: Compression) -> _Compressor:
    match compression:
        case "gzip":
            return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FRAME)
        case "gzip-fast":
            return zlib.compressobj(_FAST_LEVEL, zlib.DEFLATED, _GZIP_FRAME)
        case "zstd":
            import zstandard

            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
        case "none":
            return _Plain()


class LayerWriter:
    """A layer being made; entries go to `tar`, `finish` puts it into the store."""

    def __init__(self, store: Store, compression: Compression = "gzip", *, mtime: int = 0) -> None:
        self._media_type = MEDIA_TYPES[compression]
        self._compressor = _compressor(compression)
        self._blob = store.writer()
        self._hasher = hasher("sha256")
        self._size = 0
        self._closed = False
        self.tar = TarWriter(self, mtime=mtime)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._blob.__exit__()

    def write(self, data: bytes, /) -> None:
        """Take a part of the tar stream; for `tar` only."""
        if self._closed:  # tarfile's destructor, after a full disk, writes what it holds
            return
        self._hasher.update(data)
        self._size += len(data)
        packed = self._compressor.compress(data)
        if packed:
            self._blob.write(packed)

    def finish(self) -> Layer:
        """End the archive and make the blob appear."""
        self.tar.close()
        self._blob.write(self._compressor.flush())
        diff_id = Digest("sha256", self._hasher.hexdigest())
        return Layer(self._blob.commit(self._media_type), diff_id, self._size)
