"""Writing tar streams that are the same bytes everywhere, and reading them back without trust.

ustar where names allow it, root's ownership, one fixed time (the specification of
SOURCE_DATE_EPOCH: reproducible-builds.org). Layers and archives are both made here.
"""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING, Final, cast

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from wasmimg_images.digest import Readable

    class Sink(Protocol):
        """Where bytes go."""

        def write(self, data: bytes, /) -> object:
            """Take all of them."""
            ...


_BUFFER: Final = 1 << 18


class TarWriter:
    """A tar stream being written; entries come in the order of the calls."""

    def __init__(self, sink: Sink, *, mtime: int = 0) -> None:
        stream = cast("IO[bytes]", sink)  # tarfile only calls write()
        # PAX falls back to plain ustar for every entry that fits it.
        self._tar = tarfile.open(  # noqa: SIM115 -- closed by __exit__
            fileobj=stream,
            mode="w|",
            format=tarfile.PAX_FORMAT,
            bufsize=_BUFFER,
        )
        self._mtime = mtime

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()

    def file(self, name: str, content: Readable, size: int, mode: int = 0o644) -> None:
        """Add a file of exactly `size` bytes."""
        entry = self._entry(name, tarfile.REGTYPE, mode)
        entry.size = size
        self.entry(entry, content)

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Add a directory."""
        self._tar.addfile(self._entry(name, tarfile.DIRTYPE, mode))

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        entry = self._entry(name, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self._tar.addfile(entry)

    def entry(self, entry: tarfile.TarInfo, content: Readable | None = None) -> None:
        """Add an entry as it is, with owner, time and attributes of its own."""
        try:
            self._tar.addfile(entry, cast("IO[bytes]", content) if content is not None else None)
        except OSError as error:
            if str(error) != "unexpected end of data":  # tarfile's own; it has no type for it
                raise
            raise InvalidInput(f"{entry.name}: has less than its {entry.size} bytes") from error

    def _entry(self, name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(name)
        entry.type = kind
        entry.mode = mode
        entry.mtime = self._mtime
        return entry
