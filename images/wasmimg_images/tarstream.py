"""Reading tar streams of others: one pass, headers limited, broken ones are invalid input."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final, cast

from wasmimg_images.digest import CHUNK
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from wasmimg_images.digest import Readable

_MAX_HEADERS: Final = 4 << 20


class _Metered:
    """A tar stream whose headers can't be larger than a few megabytes each."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.left = _MAX_HEADERS

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise InvalidInput(f"a header has more than {_MAX_HEADERS} bytes")
        return data


class _Content:
    """A regular file's content; an archive cut in it is invalid input as any other."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def read(self, size: int, /) -> bytes:
        try:
            return self._source.read(size)
        except tarfile.TarError as error:
            raise InvalidInput(f"broken tar: {error}") from error


def entries(tar: Readable) -> Iterator[tuple[tarfile.TarInfo, Readable | None]]:
    """Read a tar stream's entries, with a reader for the content of regular files.

    The content is gone once the next entry is asked for. Raises InvalidInput for broken archives.
    """
    metered = _Metered(tar)
    try:
        source = cast("IO[bytes]", metered)  # tarfile only calls read()
        with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK, errorlevel=2) as archive:
            while True:
                metered.left = _MAX_HEADERS
                entry: tarfile.TarInfo | None = archive.next()
                if entry is None:
                    return
                metered.left = entry.size + _MAX_HEADERS
                file = archive.extractfile(entry) if entry.isreg() else None
                content = _Content(file) if file is not None else None
                yield entry, content
                while content is not None and content.read(CHUNK):
                    pass
                vars(archive)["members"].clear()  # the archive would remember every entry otherwise
    except tarfile.TarError as error:
        if isinstance(error, tarfile.ReadError) and str(error) == "empty file":
            return
        raise InvalidInput(f"broken tar: {error}") from error
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"broken tar: {error}") from error
