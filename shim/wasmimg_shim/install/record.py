"""The record of an installation: what was there, what was put there, so that all of it can be undone.

It is written before anything is changed. What it says of a file holds whether the change was made
or not: the file's digest tells.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.document import Node
from wasmimg_images.errors import InvalidInput
from wasmimg_shim.install.daemon_json import Change

if TYPE_CHECKING:
    from wasmimg_shim.install.rooted import Root

_VERSION: Final = 1


class Entry(NamedTuple):
    """A file that we put in place.

    Attributes:
        path: where.
        before: SHA-256 of what was there, None if there was nothing.
        backup: where that is kept.
        ours: SHA-256 of each content that we gave it; none if somebody has changed it since.
        changes: for daemon.json, what was set in it.
    """

    path: str
    before: str | None
    backup: str | None
    ours: tuple[str, ...]
    changes: tuple[Change, ...] = ()


class Record(NamedTuple):
    """All files and folders that an installation made, and the runtimes that Docker was told of."""

    entries: tuple[Entry, ...] = ()
    folders: tuple[str, ...] = ()

    def entry(self, path: str) -> Entry | None:
        """Find what is noted about a file."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def with_entry(self, entry: Entry) -> Record:
        """Note a file, in place of what was noted about it."""
        others = tuple(other for other in self.entries if other.path != entry.path)
        return self._replace(entries=(*others, entry))

    def encode(self) -> bytes:
        """Return the record as it is kept."""
        document = {
            "version": _VERSION,
            "files": [
                {
                    "path": entry.path,
                    "before": entry.before,
                    "backup": entry.backup,
                    "ours": list(entry.ours),
                    "changes": [
                        {
                            "path": list(change.path),
                            "value": change.value,
                            "previous": list(change.previous),
                        }
                        for change in entry.changes
                    ],
                }
                for entry in self.entries
            ],
            "folders": list(self.folders),
        }
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Record:
        """Read a record; raises InvalidInput."""
        node = Node.parse(raw, where)
        version = node.need("version").integer()
        if version != _VERSION:
            raise InvalidInput(
                f"{where}: was written by another release (version {version})",
                hint="uninstall with the release that installed",
            )
        return cls(
            tuple(_entry(entry) for entry in node.need("files").items()),
            node.need("folders").texts(),
        )


def load(root: Root, path: str) -> Record:
    """Read the record at `path`; one that is not there says that nothing is installed."""
    raw = root.read(path)
    return Record() if raw is None else Record.parse(raw, path)


def _entry(node: Node) -> Entry:
    before, backup = node.get("before"), node.get("backup")
    return Entry(
        node.need("path").text(),
        before.text() if before else None,
        backup.text() if backup else None,
        node.need("ours").texts(),
        tuple(
            Change(
                change.need("path").texts(),
                change.fields().get("value"),
                tuple(item.value for item in change.need("previous").items()),
            )
            for change in node.need("changes").items()
        ),
    )
