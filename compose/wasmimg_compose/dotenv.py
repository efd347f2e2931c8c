"""`.env` files: one `NAME=value` a line, as Compose and docker read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from wasmimg_compose.interpolate import interpolate
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=\s*(.*))?$")
ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def parse(text: str, environment: Mapping[str, str], *, name: str = ".env") -> dict[str, str]:
    """Read a file's variables; later lines see earlier ones, and the environment wins over both.

    A name without a value takes the environment's, or is left out. Raises InvalidInput with the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.match(line)
        if match is None:
            raise InvalidInput(f"{name}:{number}: not a NAME=value line")
        key, raw = match.group(1), match.group(2)
        if raw is None:
            if key in environment:
                found[key] = environment[key]
            continue
        try:
            found[key] = _value(raw, {**found, **environment})
        except InvalidInput as error:
            raise InvalidInput(f"{name}:{number}: {error.message}", hint=error.hint) from None
    return found


def _value(raw: str, variables: Mapping[str, str]) -> str:
    """Take off quotes and comments; single quotes are literal, others are interpolated."""
    if raw[:1] in {"'", '"'}:
        quote = raw[0]
        body, closed = _quoted(raw, quote)
        if not closed:
            raise InvalidInput(f"the quote {quote} is not closed")
        return body if quote == "'" else interpolate(body, variables).text
    return interpolate(re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].strip(), variables).text


def _quoted(raw: str, quote: str) -> tuple[str, bool]:
    out: list[str] = []
    at = 1
    while at < len(raw):
        char = raw[at]
        if char == quote:
            return "".join(out), True
        if char == "\\" and quote == '"' and at + 1 < len(raw):
            out.append(ESCAPES.get(raw[at + 1], "\\" + raw[at + 1]))
            at += 2
            continue
        out.append(char)
        at += 1
    return "", False
