"""A value of a JSON document together with its place, narrowed step by step.

A wrong type is an InvalidInput that names the place as jq would: `linux.mounts[2].type`.
Members that are null count as missing, as they do for Go programs, which write most bundles.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from wasmimg_images.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: numbers in bundles are at most 64 bits wide, signed or not
LOWEST, HIGHEST = -(1 << 63), (1 << 64) - 1


class Place(NamedTuple):
    """A value and the path that led to it; the document's name is the path's first part."""

    path: str
    value: object

    def wrong(self, expected: str) -> InvalidInput:
        """Make the error that says what should stand here."""
        return InvalidInput(f"{self.path}: expected {expected}, found {_kind(self.value)}")

    def member(self, name: str) -> Place:
        """Step to a member; a missing one has the value None. This must be an object."""
        if self.value is None:
            return Place(f"{self.path}.{name}", None)
        return Place(f"{self.path}.{name}", self._object().get(name))

    def items(self) -> Iterator[Place]:
        """Walk over an array; a missing one is empty."""
        if self.value is None:
            return
        value = self.value
        if not isinstance(value, list):
            raise self.wrong("an array")
        for number, item in enumerate(cast("list[object]", value)):
            yield Place(f"{self.path}[{number}]", item)

    def members(self) -> Iterator[tuple[str, Place]]:
        """Walk over an object's members; a missing object is empty."""
        if self.value is None:
            return
        for name, item in self._object().items():
            yield name, Place(f"{self.path}.{name}", item)

    def _object(self) -> dict[str, object]:
        value = self.value
        if not isinstance(value, dict):
            raise self.wrong("an object")
        return cast("dict[str, object]", value)

    def text(self, default: str | None = None) -> str:
        """Read a string; NUL is refused, since it would cut paths and arguments short."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        if "\0" in self.value:
            raise InvalidInput(f"{self.path}: a NUL character")
        return self.value

    def number(self) -> int | None:
        """Read an integer of at most 64 bits, or None where it is missing."""
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong("an integer")
        if not LOWEST <= self.value <= HIGHEST:
            raise InvalidInput(f"{self.path}: {self.value} does not fit in 64 bits")
        return self.value

    def integer(self, default: int | None = None) -> int:
        """Read an integer that must be there, unless there is a default."""
        number = self.number()
        if number is None:
            number = default
        if number is None:
            raise self.wrong("an integer")
        return number

    def natural(self, default: int | None = None) -> int:
        """Read an integer of 32 bits without a sign, such as a user id or a device number."""
        number = self.integer(default)
        if not 0 <= number < 1 << 32:
            raise InvalidInput(f"{self.path}: {number} is not between 0 and 4294967295")
        return number

    def flag(self) -> bool:
        """Read a boolean; a missing one is false."""
        if self.value is None:
            return False
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """Read an array of strings."""
        return tuple(item.text() for item in self.items())

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Read an object of strings, in the document's order."""
        return tuple((name, item.text()) for name, item in self.members())


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"
