"""Variables in a Compose file: `$VAR`, `${VAR}` and their defaults.

Source: Compose specification, 12-interpolation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OPERATORS: Final = (":-", ":?", ":+", "-", "?", "+")


class Interpolated(NamedTuple):
    """The text with its variables replaced, and the names that were not set and had no default."""

    text: str
    unset: tuple[str, ...]


def interpolate(text: str, variables: Mapping[str, str]) -> Interpolated:
    """Replace every variable of a text; `$$` stands for one dollar.

    Raises InvalidInput for a malformed reference and for `${VAR:?message}` when VAR is not set.
    """
    unset: list[str] = []
    result, end = _scan(text, 0, variables, unset, nested=False)
    assert end == len(text)
    return Interpolated(result, tuple(unset))


def _scan(
    text: str, start: int, variables: Mapping[str, str], unset: list[str], *, nested: bool
) -> tuple[str, int]:
    """Read up to the end of the text, or to the brace that closes a nested default."""
    out: list[str] = []
    at = start
    while at < len(text):
        char = text[at]
        if nested and char == "}":
            return "".join(out), at
        if char != "$":
            out.append(char)
            at += 1
            continue
        piece, at = _dollar(text, at, variables, unset)
        out.append(piece)
    if nested:
        raise InvalidInput(f"{text!r}: a variable's brace is not closed", hint="write ${NAME}")
    return "".join(out), at


def _dollar(text: str, at: int, variables: Mapping[str, str], unset: list[str]) -> tuple[str, int]:
    """Replace what begins with the dollar sign at a position."""
    if text.startswith("$$", at):
        return "$", at + 2
    if text.startswith("${", at):
        return _braced(text, at + 2, variables, unset)
    match = NAME.match(text, at + 1)
    if match is None:
        raise InvalidInput(
            f"{text!r}: a dollar sign that begins no variable", hint="write $$ for a dollar sign"
        )
    return _plain(match.group(), variables, unset), match.end()


def _plain(name: str, variables: Mapping[str, str], unset: list[str]) -> str:
    if name not in variables:
        unset.append(name)
    return variables.get(name, "")


def _braced(text: str, at: int, variables: Mapping[str, str], unset: list[str]) -> tuple[str, int]:
    match = NAME.match(text, at)
    if match is None:
        raise InvalidInput(f"{text!r}: no variable name after '${{'", hint="write ${NAME}")
    name, at = match.group(), match.end()
    if text.startswith("}", at):
        return _plain(name, variables, unset), at + 1
    operator = next((op for op in OPERATORS if text.startswith(op, at)), None)
    if operator is None:
        raise InvalidInput(f"{text!r}: unexpected text after variable {name!r}")
    inner_unset: list[str] = []
    word, at = _scan(text, at + len(operator), variables, inner_unset, nested=True)
    value = variables.get(name)
    present = bool(value) if operator.startswith(":") else value is not None
    match operator[-1]:
        case "-":
            if not present:
                unset.extend(inner_unset)
            return (value or "") if present else word, at + 1
        case "+":
            return word if present else "", at + 1
        case _:
            if not present:
                raise InvalidInput(
                    f"required variable {name} is not set: {word or 'no reason given'}"
                )
            return value or "", at + 1
