"""The files of an image: the module and what the project adds, packed the same way everywhere.

Names sorted, owner root, mode 0755 or 0644 by the owner's right to execute, one time for all:
neither umask nor who checked the project out changes a byte.
"""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.layer_writer import LayerWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from wasmimg_builder.projectfile import ImageFile
    from wasmimg_images.layer_writer import Layer
    from wasmimg_images.layout import Store

_PROGRAM: Final = 0o755
_DATA: Final = 0o644


class Entry(NamedTuple):
    """One entry of the image: a file's path, a link's target, or neither for a folder."""

    target: str
    source: Path | None = None
    link: str | None = None


def collect(files: Sequence[ImageFile], folder: Path) -> list[Entry]:
    """List the entries for the project's files; folders are walked, special files refused."""
    found: dict[str, Entry] = {}
    for file in files:
        source = folder / file.source
        if not os.path.lexists(source):
            raise NotFound(f"{file.where}: {source} does not exist")
        if not source.parent.resolve().is_relative_to(folder.resolve()):
            raise InvalidInput(f"{file.where}: {source} is by a link not below the project")
        for entry in _walk(source, file.target):
            if entry.target in found and entry != found[entry.target]:
                raise InvalidInput(f"{file.where}: {entry.target} is there twice")
            found[entry.target] = entry
    return list(found.values())


def _walk(source: Path, target: str) -> Iterator[Entry]:
    found = source.lstat()
    if stat.S_ISLNK(found.st_mode):
        yield Entry(target, link=os.readlink(source))
    elif stat.S_ISREG(found.st_mode):
        yield Entry(target, source)
    elif stat.S_ISDIR(found.st_mode):
        if target != "/":
            yield Entry(target)
        for inner in sorted(source.iterdir()):
            yield from _walk(inner, f"{target.rstrip('/')}/{inner.name}")
    else:
        raise InvalidInput(f"{source} is neither file, folder nor link")


def pack(store: Store, module: bytes, target: str, entries: Sequence[Entry], epoch: int) -> Layer:
    """Write the layer with the module at `target` and the other entries into the store."""
    if any(entry.target == target for entry in entries):
        raise InvalidInput(f"{target} is both the module and one of `files`")
    every = {entry.target: entry for entry in entries}
    for path in [target, *every]:
        for folder in _parents(path):
            every.setdefault(folder, Entry(folder))
            if every[folder].source is not None or every[folder].link is not None:
                raise InvalidInput(f"{folder} is both a file and a folder of `files`")
    with LayerWriter(store, mtime=epoch) as layer:
        for path in sorted([target, *every]):
            if path == target:
                layer.tar.file(_member(path), io.BytesIO(module), len(module), _PROGRAM)
            else:
                _add(layer, every[path])
        return layer.finish()


def _add(layer: LayerWriter, entry: Entry) -> None:
    name = _member(entry.target)
    if entry.link is not None:
        layer.tar.symlink(name, entry.link)
    elif entry.source is None:
        layer.tar.folder(name)
    else:
        with entry.source.open("rb") as content:
            found = os.fstat(content.fileno())
            mode = _PROGRAM if found.st_mode & stat.S_IXUSR else _DATA
            layer.tar.file(name, content, found.st_size, mode)


def _member(path: str) -> str:
    return path.lstrip("/")


def _parents(path: str) -> Iterator[str]:
    while (path := path.rpartition("/")[0]) != "":
        yield path
