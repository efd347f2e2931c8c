"""What the last build of a project was made of, so that an unchanged one is known at a glance."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.digest import hasher
from wasmimg_images.document import Node, encode
from wasmimg_images.errors import InvalidInput
from wasmimg_images.spec import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from wasmimg_images.digest import Hasher

#: Changes when a build of the same inputs gives another image.
FORMAT: Final = 1


class Record(NamedTuple):
    """A finished build: the fingerprint of all that it was made of, and the outcome."""

    fingerprint: str
    image: Descriptor
    module_size: int
    layer_size: int
    toolchain: str
    #: Files outside the packages that the compiler read (include_str!, build scripts).
    extra: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """Give the JSON form."""
        return {
            "fingerprint": self.fingerprint,
            "image": self.image.document(),
            "moduleSize": self.module_size,
            "layerSize": self.layer_size,
            "toolchain": self.toolchain,
            "extra": list(self.extra),
        }

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Record:
        """Parse the JSON form; raises InvalidInput."""
        node = Node.parse(raw, where)
        return cls(
            node.need("fingerprint").text(),
            Descriptor.from_node(node.need("image")),
            node.need("moduleSize").integer(),
            node.need("layerSize").integer(),
            node.need("toolchain").text(),
            node.need("extra").texts(),
        )


class BuildCache:
    """One folder for each project and binary: compiled crates and the last build's record."""

    def __init__(self, root: Path, project: Path, binary: str) -> None:
        key = hashlib.sha256(os.fsencode(f"{project}\0{binary}")).hexdigest()[:16]
        self.folder = root / "build" / key
        #: Shared by the binaries of a workspace, as cargo's own folder would be.
        shared = hashlib.sha256(os.fsencode(project)).hexdigest()[:16]
        self.target = root / "build" / f"{shared}-target"

    def last(self) -> Record | None:
        """Read the last build's record; a broken one counts as none."""
        path = self.folder / "record.json"
        try:
            return Record.parse(path.read_bytes(), str(path))
        except (FileNotFoundError, InvalidInput):
            return None

    def remember(self, record: Record) -> None:
        """Replace the record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{uuid.uuid4().hex}"
        try:
            partial.write_bytes(encode(record.document()))
            partial.rename(self.folder / "record.json")
        finally:
            partial.unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete what was compiled."""
        shutil.rmtree(self.target, ignore_errors=True)


def fingerprint(facts: Sequence[str], root: Path, files: Iterable[Path]) -> str:
    """Hash facts and files: names, contents, links and the right to execute."""
    state = hasher("sha256")
    for fact in (str(FORMAT), *facts):
        _add(state, fact.encode("utf-8", "surrogateescape"))
    for path in sorted(set(files)):
        _add(state, os.fsencode(os.path.relpath(path, root)))
        try:
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                _add(state, b"l" + os.fsencode(os.readlink(path)))
            if path.is_file():
                executable = b"x" if found.st_mode & stat.S_IXUSR else b"-"
                _add(state, executable + path.read_bytes())
        except FileNotFoundError:
            _add(state, b"gone")
    return state.hexdigest()


def _add(state: Hasher, data: bytes) -> None:
    """Add a value with its length, so that no two lists of values look the same."""
    state.update(len(data).to_bytes(8, "little"))
    state.update(data)
