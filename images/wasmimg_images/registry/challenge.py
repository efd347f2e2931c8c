"""The `WWW-Authenticate` header: text in, challenges out.

Source: RFC 9110 sections 5.6 and 11. The grammar is ambiguous without looking ahead: a comma separates
parameters as well as challenges, so a token followed by `=` and a value is a parameter of the challenge
before it, and any other token starts a new challenge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SEPARATORS: Final = re.compile(r"[ \t,]*")
_PARAMETER: Final = re.compile(
    rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)")[ \t]*(?=,|$)', re.DOTALL
)
_SCHEME: Final = re.compile(rf"({_WORD})(?=[ \t,]|$)")
_TOKEN68: Final = re.compile(r"[ \t]+([A-Za-z0-9\-._~+/]+=*)[ \t]*(?=,|$)")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """One scheme the server accepts; scheme and parameter names are lower case."""

    scheme: str
    parameters: Mapping[str, str]
    token68: str = ""


def parse(header: str) -> tuple[Challenge, ...]:
    """Read every challenge of a header; repeated headers are joined by commas first.

    Raises RegistryError when the text is not a list of challenges.
    """
    found: list[tuple[str, dict[str, str], str]] = []
    position = _skip(header, 0)
    while position < len(header):
        if found and not found[-1][2] and (parameter := _PARAMETER.match(header, position)):
            name, token, quoted = parameter.groups()
            value = _ESCAPED.sub(r"\1", quoted) if token is None else token
            found[-1][1].setdefault(name.lower(), value)
            position = _skip(header, parameter.end())
            continue
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            message = f"malformed WWW-Authenticate header at character {position + 1}"
            raise RegistryError(message, hint="the registry or a proxy before it is at fault")
        token68 = _TOKEN68.match(header, scheme.end())
        found.append((scheme[1].lower(), {}, token68[1] if token68 else ""))
        position = _skip(header, (token68 or scheme).end())
    return tuple(Challenge(*parts) for parts in found)


def choose(challenges: Iterable[Challenge]) -> Challenge | None:
    """Take Bearer where a realm is named, else Basic, else none that we can answer."""
    known = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
    bearer = known.get("bearer")
    if bearer is not None and bearer.parameters.get("realm"):
        return bearer
    return known.get("basic")


def _skip(header: str, position: int) -> int:
    """Step over blanks and the empty list elements that RFC 9110 section 5.6.1.2 allows."""
    separators = _SEPARATORS.match(header, position)
    return separators.end() if separators else position
