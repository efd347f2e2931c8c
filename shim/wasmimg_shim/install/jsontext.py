"""Edits of a JSON text that leave every other byte of it as it was.

`json.loads` and `dumps` would lose how numbers are written, line breaks inside arrays and the
indentation. Here members are found by their spans in the text, and only these are touched.
Source: RFC 8259.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()
#: Docker's own documentation indents by two.
_DEFAULT_INDENT: Final = "  "


class Member(NamedTuple):
    """A member of an object: its key, and where key and value stand in the text."""

    key: str
    start: int
    value_start: int
    end: int


class Object(NamedTuple):
    """An object in the text: after its opening brace, at its closing one, and what is between."""

    start: int
    end: int
    members: tuple[Member, ...]

    def find(self, key: str) -> Member | None:
        """Find a member by its key."""
        return next((member for member in self.members if member.key == key), None)


def parse(text: str, where: str) -> dict[str, object]:
    """Read a text that holds one object; InvalidInput names line and column, as `where:1:2`."""
    try:
        document: object = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{where}:{error.lineno}:{error.colno}: {error.msg}", hint=_HINT
        ) from None
    except RecursionError:
        raise InvalidInput(f"{where}: nested too deeply", hint=_HINT) from None
    except ValueError as error:  # a number of thousands of digits, or a constant that JSON lacks
        raise InvalidInput(f"{where}: {error}", hint=_HINT) from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{where}: holds no object at its top", hint=_HINT)
    return cast("dict[str, object]", document)


_HINT: Final = "correct the file; nothing was changed"


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse what one reader would take the first of, and another one the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def scan(text: str, path: Sequence[str] = ()) -> Object | None:
    """Find the object at `path` of a valid text; None if there is nothing or something else."""
    start = _skip(text, 0)
    for key in path:
        member = _object(text, start).find(key) if text.startswith("{", start) else None
        if member is None:
            return None
        start = member.value_start
    return _object(text, start) if text.startswith("{", start) else None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _object(text: str, brace: int) -> Object:
    members: list[Member] = []
    at = _skip(text, brace + 1)
    while text[at] != "}":
        key, end = cast("tuple[str, int]", _DECODER.raw_decode(text, at))
        value_start = _skip(text, _skip(text, end) + 1)
        _, value_end = cast("tuple[object, int]", _DECODER.raw_decode(text, value_start))
        members.append(Member(key, at, value_start, value_end))
        at = _skip(text, value_end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return Object(brace + 1, at, tuple(members))


def set_member(text: str, path: Sequence[str], value: object) -> str:
    """Set the member at `path`, in the style of its neighbours; its object must be there.

    A member that is there keeps its place; a new one comes last.
    """
    *parents, key = path
    found = scan(text, parents)
    if found is None:
        raise KeyError("/".join(parents))
    member = found.find(key)
    indent = _indent_of(text, found)
    rendered = _render(value, text, indent)
    if member is not None:
        return text[: member.value_start] + rendered + text[member.end :]
    comma, colon = _separators(text) if indent is None else (",", ": ")
    added = json.dumps(key) + colon + rendered
    if indent is not None:
        added = _newline(text) + indent + added
    if found.members:
        last = found.members[-1].end
        return text[:last] + comma + added + text[last:]
    closing = "" if indent is None else _newline(text) + _outer_indent(text, found)
    return text[: found.start] + added + closing + text[found.end :]


def remove_member(text: str, path: Sequence[str]) -> str:
    """Remove the member at `path`, with its comma and the space before it, if it is there."""
    *parents, key = path
    found = scan(text, parents)
    member = found.find(key) if found is not None else None
    if found is None or member is None:
        return text
    if len(found.members) == 1:
        return text[: found.start] + text[found.end :]
    index = found.members.index(member)
    if index:
        return text[: found.members[index - 1].end] + text[member.end :]
    return text[: member.start] + text[found.members[1].start :]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_of(text: str, found: Object) -> str | None:
    """Return what stands before the members of an object; None for one on a single line."""
    if found.members:
        return _first_indent(text, found)
    root = scan(text)
    if root is not None and root.members and _first_indent(text, root) is None:
        return None
    return _outer_indent(text, found) + _unit(text)


def _first_indent(text: str, found: Object) -> str | None:
    before = text[found.start : found.members[0].start]
    return before.rpartition("\n")[2] if "\n" in before else None


def _outer_indent(text: str, found: Object) -> str:
    line = text[text.rfind("\n", 0, found.start) + 1 : found.start]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    root = scan(text)
    return (_first_indent(text, root) if root and root.members else None) or _DEFAULT_INDENT


def _render(value: object, text: str, indent: str | None) -> str:
    if indent is None:
        return json.dumps(value, ensure_ascii=False, separators=_separators(text))
    lines = json.dumps(value, ensure_ascii=False, indent=_unit(text)).split("\n")
    return (_newline(text) + indent).join(lines)


def _separators(text: str) -> tuple[str, str]:
    """Return comma and colon as a text on a single line has them."""
    return (", ", ": ") if ": " in text else (",", ":")
