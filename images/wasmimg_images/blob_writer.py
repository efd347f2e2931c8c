"""A blob on its way into the store: beside the others until it is whole."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from wasmimg_images.digest import Digest, hasher
from wasmimg_images.errors import HostError
from wasmimg_images.spec import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self


class BlobWriter:
    """Takes bytes, hashes them, and puts the file in its place; without `commit` nothing is left.

    With `verified` the source hashes what it gives, and `commit` is told the digest.
    """

    def __init__(
        self, folder: Path, place: Callable[[Digest], Path], *, verified: bool = False
    ) -> None:
        self._partial = folder / uuid.uuid4().hex
        self._place = place
        self._hasher = None if verified else hasher("sha256")
        self._sink = self._partial.open("xb")
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._sink.close()
        except OSError as error:  # what a full disk left in the buffer
            raise self._failed(error) from error
        finally:
            self._partial.unlink(missing_ok=True)

    def write(self, data: bytes, /) -> int:
        """Take bytes; raises HostError if the disk is full."""
        try:
            self._sink.write(data)
        except OSError as error:
            raise self._failed(error) from error
        if self._hasher is not None:
            self._hasher.update(data)
        self.size += len(data)
        return len(data)

    def commit(self, media_type: str, digest: Digest | None = None) -> Descriptor:
        """Make the blob appear; `digest` is one that the caller has verified, of any algorithm."""
        try:
            self._sink.flush()
            os.fsync(self._sink.fileno())
            found = digest or self._digest()
            target = self._place(found)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._partial.rename(target)
        except OSError as error:
            raise self._failed(error) from error
        return Descriptor(media_type, found, self.size)

    def _digest(self) -> Digest:
        if self._hasher is None:
            raise ValueError("a blob that its source verifies is committed with its digest")
        return Digest("sha256", self._hasher.hexdigest())

    def _failed(self, error: OSError) -> HostError:
        return HostError(f"{self._partial.parent.parent}: {error.strerror}", hint="is there space?")
