"""Our settings in Docker's daemon.json: merged in with nothing else touched, and taken out again.

Source: dockerd(8) "daemon configuration file"; `runtimeType` is read from Docker 24 on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.install import jsontext

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SNAPSHOTTER: Final = ("features", "containerd-snapshotter")
_BOM: Final = b"\xef\xbb\xbf"


class Setting(NamedTuple):
    """A value that is to stand at a path of the document."""

    path: tuple[str, ...]
    value: object


class Change(NamedTuple):
    """What was set where; `previous` holds the value that it took the place of, if there was one."""

    path: tuple[str, ...]
    value: object
    previous: tuple[object, ...] = ()

    @property
    def name(self) -> str:
        """The path as Docker's documentation writes it."""
        return ".".join(self.path)


class Merged(NamedTuple):
    """The new content of a file, and what is different about it, in the order it was done."""

    raw: bytes
    changes: tuple[Change, ...]


class Unmerged(NamedTuple):
    """The content without our settings, and those that somebody has changed and that stay."""

    raw: bytes
    kept: tuple[Change, ...]


def runtime(name: str, launcher: str) -> Setting:
    """Return the setting that makes `--runtime NAME` call the launcher (an absolute path)."""
    return Setting(("runtimes", name), {"runtimeType": launcher})


def merge(
    raw: bytes | None,
    settings: Iterable[Setting],
    where: str,
    *,
    ours: Sequence[Change] = (),
    force: bool = False,
) -> Merged:
    """Add settings to the content of a file (None: there is none).

    A value that is there already is left as it stands; another value gives way if it is one of
    `ours` from an earlier time, to `force`, or if it is a plain switch (a feature that is off).
    Raises InvalidInput for a file that is no JSON object, and for a value of somebody else's.
    """
    bom, text = _text(raw, where)
    jsontext.parse(text, where)
    changes: list[Change] = []
    for setting in settings:
        for depth in range(1, len(setting.path)):
            text = _open(text, setting.path[:depth], where, changes)
        present = _value(text, setting.path, where)
        if present and _same(present[0], setting.value):
            continue
        if present and not (force or _may_replace(present[0], setting.path, ours)):
            raise InvalidInput(
                f"{where}: {'.'.join(setting.path)} is there already and is not ours",
                hint="remove it, or replace it with --force (uninstall puts it back)",
            )
        text = jsontext.set_member(text, setting.path, setting.value)
        changes.append(Change(setting.path, setting.value, present))
    return Merged(bom + text.encode(), tuple(changes))


def unmerge(raw: bytes, changes: Sequence[Change], where: str) -> Unmerged:
    """Take our changes out of what the file holds now; raises InvalidInput as merge does.

    What somebody has changed since stays as it is.
    """
    bom, text = _text(raw, where)
    jsontext.parse(text, where)
    kept: list[Change] = []
    for change in reversed(changes):
        present = _value(text, change.path, where)
        if not present:
            continue
        if not _same(present[0], change.value):
            restored = bool(change.previous) and _same(present[0], change.previous[0])
            if not restored and change.value != {}:  # an object of ours may hold others' members
                kept.append(change)
        elif change.previous:
            text = jsontext.set_member(text, change.path, change.previous[0])
        else:
            text = jsontext.remove_member(text, change.path)
    return Unmerged(bom + text.encode(), tuple(kept))


def value_at(raw: bytes | None, path: Sequence[str], where: str) -> object:
    """Read one value, None if it is not there; raises InvalidInput for what is no JSON object."""
    text = _text(raw, where)[1]
    jsontext.parse(text, where)
    found = _value(text, path, where)
    return found[0] if found else None


def is_empty(raw: bytes) -> bool:
    """Tell whether a document, known to be valid, says nothing."""
    return not jsontext.parse(_text(raw, "")[1], "")


def _text(raw: bytes | None, where: str) -> tuple[bytes, str]:
    """Split off a byte order mark; a missing or blank file is an empty object, as dockerd has it."""
    if raw is None or not raw.strip():
        return b"", "{}\n"
    bom = _BOM if raw.startswith(_BOM) else b""
    try:
        return bom, raw[len(bom) :].decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{where}: byte {error.start + len(bom)} is no UTF-8",
            hint="correct the file; nothing was changed",
        ) from None


def _open(text: str, path: tuple[str, ...], where: str, changes: list[Change]) -> str:
    """Make sure that there is an object at `path`."""
    present = _value(text, path, where)
    if present and isinstance(present[0], dict):
        return text
    if present and present[0] is not None:
        raise InvalidInput(f"{where}: {'.'.join(path)} is no object", hint="correct the file")
    changes.append(Change(path, {}, present))
    return jsontext.set_member(text, path, {})


def _value(text: str, path: Sequence[str], where: str) -> tuple[object, ...]:
    """Read one value; an empty tuple if it is not there."""
    value = cast("object", jsontext.parse(text, where))
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return ()
        value = cast("dict[str, object]", value)[key]
    return (value,)


def _may_replace(present: object, path: tuple[str, ...], ours: Sequence[Change]) -> bool:
    return isinstance(present, bool) or any(
        change.path == path and _same(change.value, present) for change in ours
    )


def _same(one: object, other: object) -> bool:
    """Compare as JSON does: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
