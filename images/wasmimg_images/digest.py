"""Content digests, and readers that refuse content that is not what its digest says.

The shim imports this module on its way to a container, so typing and dataclasses stay out of it.
"""

from __future__ import annotations

import io
import re
from collections import namedtuple

from wasmimg_images.errors import DigestMismatch, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, Protocol

    from _typeshed import ReadableBuffer, WriteableBuffer

    class Readable(Protocol):
        """Where bytes come from: a file, an HTTP answer."""

        def read(self, size: int, /) -> bytes:
            """Give at most `size` bytes; none at the end."""
            ...

    class Hasher(Protocol):
        """What hashlib makes."""

        def update(self, data: ReadableBuffer, /) -> None:
            """Take more bytes."""
            ...

        def hexdigest(self) -> str:
            """Give the digest of the bytes so far."""
            ...

    class _Fields(NamedTuple):
        algorithm: str
        hex: str
else:
    _Fields = namedtuple("_Fields", ["algorithm", "hex"])  # noqa: PYI024 -- typing costs 4 ms

#: The registered algorithms (OCI image-spec, descriptor, "Registered Algorithms") and hex lengths.
HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
CHUNK = 1 << 18


def hasher(algorithm: str) -> Hasher:
    """Start hashing with one of the registered algorithms."""
    import hashlib

    return hashlib.sha512() if algorithm == "sha512" else hashlib.sha256()


class Digest(_Fields):
    """`algorithm:hex`, as descriptors and references hold it."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parse strictly; raises InvalidInput for other algorithms, lengths or upper-case digits."""
        algorithm, colon, digits = text.partition(":")
        if not colon or not algorithm:
            raise InvalidInput(f"{text!r} is not a digest: expected sha256:<64 hex digits>")
        length = HEX_LENGTHS.get(algorithm)
        if length is None:
            raise InvalidInput(f"digest {text!r}: algorithm {algorithm!r} is not supported")
        if len(digits) != length or not _HEX.fullmatch(digits):
            raise InvalidInput(f"digest {text!r}: expected {length} lower-case hex digits")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: ReadableBuffer) -> Digest:
        """Hash bytes with sha256."""
        state = hasher("sha256")
        state.update(data)
        return cls("sha256", state.hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @property
    def short(self) -> str:
        """The first twelve digits, as container tools print it."""
        return self.hex[:12]


class VerifiedReader(io.RawIOBase):
    """A stream that fails unless it holds exactly `size` bytes of the given digest.

    The last byte is only given once the digest is verified, so whoever reads to the end has good
    content. One who stops early calls `finish`. Closing closes the source only if `owns` says so:
    the interpreter closes a raw stream that nobody uses any more.
    """

    def __init__(self, source: Readable, digest: Digest, size: int, *, owns: bool = False) -> None:
        super().__init__()
        self._owns = owns
        if size < 0:
            raise InvalidInput(f"{digest}: negative size {size}")
        self._source = source
        self._digest = digest
        self._size = size
        self._seen = 0
        self._hasher = hasher(digest.algorithm)
        self._done = False

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on, verified; raises DigestMismatch."""
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        data = self._source.read(len(view))
        self._take(data)
        view[: len(data)] = data
        return len(data)

    def _take(self, data: bytes) -> None:
        self._seen += len(data)
        if self._seen > self._size:
            raise DigestMismatch(f"{self._digest}: more than the {self._size} bytes announced")
        self._hasher.update(data)
        if not data and self._seen < self._size:
            raise DigestMismatch(
                f"{self._digest}: ended after {self._seen} of {self._size} bytes",
            )
        if self._seen == self._size and not self._done:
            self._done = True
            found = self._hasher.hexdigest()
            if found != self._digest.hex:
                raise DigestMismatch(
                    f"content has digest {self._digest.algorithm}:{found}, not {self._digest}",
                )

    def finish(self) -> None:
        """Read what is left and verify; raises DigestMismatch."""
        while self.read(CHUNK):
            pass

    def close(self) -> None:
        """Close the source too, if it is owned."""
        if not self.closed and self._owns:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        super().close()
