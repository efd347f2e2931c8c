"""Putting files in place: what is written, what is kept for `uninstall`, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.install import launchers
from wasmimg_shim.install.operations import BackUp, MakeFolder, Operation, WriteFile
from wasmimg_shim.install.record import Entry
from wasmimg_shim.install.rooted import digest

if TYPE_CHECKING:
    from wasmimg_shim.install.plan import Files
    from wasmimg_shim.install.record import Record


class Placing:
    """Collects the operations, and what the record must say before the first of them."""

    def __init__(self, files: Files, record: Record, *, force: bool) -> None:
        self.files = files
        self.record = record
        self.force = force
        self.operations: list[Operation] = []

    def add_launcher(self, path: str, content: bytes) -> None:
        """Put a launcher in place, unless it is there; raises InvalidInput for a foreign file."""
        current = self.files.read(path)
        entry = self.record.entry(path)
        what = "starts the shim"
        if entry is not None and (current is None or is_known(entry, current)):
            keep = current is not None and digest(current) not in entry.ours
            if current != content:
                self.replace(path, content, launchers.MODE, what, entry, keep=keep)
            return
        if current is None or launchers.is_launcher(current):
            entry = entry or Entry(path, None, None, ())
            if current == content:
                self._note_ours(entry, content)
            else:
                self.replace(path, content, launchers.MODE, what, entry, keep=False)
            return
        if not (self.force or launchers.is_ours(current)):
            raise InvalidInput(
                f"{path} is there already and is another program's",
                hint="--force replaces it and keeps a copy; --no-drop-ins installs only"
                f" containerd-shim-{launchers.OWN}-v1",
            )
        fresh = Entry(path, digest(current), self.fresh_backup(path), ())
        self.replace(path, content, launchers.MODE, what, fresh, keep=True)

    def replace(
        self, path: str, content: bytes, mode: int, what: str, entry: Entry, *, keep: bool
    ) -> None:
        """Write a file and note it in the entry; `keep` what is there now as its backup."""
        for folder in self.files.missing_folders(path):
            if folder not in self.record.folders:
                self.record = self.record._replace(folders=(*self.record.folders, folder))
            made = MakeFolder(folder)
            if made not in self.operations:
                self.operations.append(made)
        current = self.files.read(path)
        over = None if current is None else digest(current)
        if keep and entry.backup is not None:
            self.operations.append(BackUp(path, entry.backup, over))
        self.operations.append(WriteFile(path, content, mode, what, over))
        self._note_ours(entry, content)

    def _note_ours(self, entry: Entry, content: bytes) -> None:
        ours = (*(each for each in entry.ours if each != digest(content)), digest(content))
        self.record = self.record.with_entry(entry._replace(ours=ours))

    def fresh_backup(self, path: str) -> str:
        """Find a name for the backup of a file that nothing has yet."""
        name = f"{path}.before-wasmimg"
        number = 2
        while self.files.exists(name):
            name = f"{path}.before-wasmimg.{number}"
            number += 1
        return name


def is_known(entry: Entry, current: bytes | None) -> bool:
    """Tell whether a file holds what it held before, or what we gave it."""
    found = None if current is None else digest(current)
    return found == entry.before or found in entry.ours
