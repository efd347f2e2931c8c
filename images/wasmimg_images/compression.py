"""Decompressing layers while counting and hashing what comes out."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Final

from wasmimg_images.digest import CHUNK, Digest, hasher
from wasmimg_images.errors import DigestMismatch, InvalidInput

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from wasmimg_images.digest import Readable

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MAX_WINDOW: Final = 128 << 20
#: Deflate's best ratio; whoever promises more is a bomb, in zstd too.
_MAX_RATIO: Final = 1032
_ALLOWANCE: Final = 1 << 20


class _Gzip:
    def __init__(self, source: io.BufferedReader) -> None:
        self._source = gzip.GzipFile(fileobj=source, mode="rb")

    def read(self, size: int, /) -> bytes:
        try:
            return self._source.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidInput(f"broken gzip: {error}") from error


class _Zstd:
    def __init__(self, source: io.BufferedReader) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._source = decompressor.stream_reader(source, read_across_frames=True, closefd=False)

    def read(self, size: int, /) -> bytes:
        try:
            return self._source.read(size)
        except self._error as error:
            raise InvalidInput(f"broken zstd: {error}") from error


def decompress(stream: io.BufferedReader) -> Readable:
    """Open gzip, zstd or plain content, told apart by its first bytes as container engines do.

    Reading broken content raises InvalidInput.
    """
    head = stream.peek(4)[:4]
    if head.startswith(_GZIP):
        return _Gzip(stream)
    if head == _ZSTD:
        return _Zstd(stream)
    return stream


class Counted:
    """A reader that hashes what is read, and stops at a limit."""

    def __init__(self, source: Readable, limit: int, algorithm: str = "sha256") -> None:
        self._source = source
        self._limit = limit
        self._algorithm = algorithm
        self._hasher = hasher(algorithm)
        self.size = 0

    def read(self, size: int = CHUNK, /) -> bytes:
        """Read on; raises InvalidInput beyond the limit."""
        data = self._source.read(size)
        self.size += len(data)
        if self.size > self._limit:
            raise InvalidInput(f"unpacks to more than {self._limit} bytes")
        self._hasher.update(data)
        return data

    def digest(self) -> Digest:
        """Give the digest of what was read."""
        return Digest(self._algorithm, self._hasher.hexdigest())


def layer_content(
    stream: io.BufferedReader,
    compressed_size: int,
    diff_id: Digest,
    use: Callable[[Readable], None],
) -> int:
    """Give a layer's uncompressed tar to `use`, then verify it; returns the uncompressed size.

    What `use` left unread is read to its end, so that the blob's own digest is verified too.
    Raises InvalidInput for broken or bombastic content, DigestMismatch if it is not `diff_id`'s.
    """
    limit = _MAX_RATIO * compressed_size + _ALLOWANCE
    try:
        counted = Counted(decompress(stream), limit, diff_id.algorithm)
        use(counted)
        while counted.read(CHUNK):
            pass
        while stream.read(CHUNK):
            pass
    except InvalidInput as error:
        raise InvalidInput(f"layer {diff_id.short}: {error.message}", hint=error.hint) from error
    if counted.digest() != diff_id:
        raise DigestMismatch(f"layer {diff_id.short} unpacks to {counted.digest()}")
    return counted.size
