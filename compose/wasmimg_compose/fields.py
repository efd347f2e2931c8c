"""Reading JSON documents: one typed look at the members of an object, the place named in errors."""

from __future__ import annotations

import json
from typing import NamedTuple, TypeGuard, TypeVar

from wasmimg_images.errors import InvalidInput

Choice = TypeVar("Choice", bound=str)


def is_object(value: object) -> TypeGuard[dict[object, object]]:
    """Tell whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Tell whether a decoded value is a JSON list, or a tuple that becomes one."""
    return isinstance(value, list | tuple)


class Fields(NamedTuple):
    """The members of one JSON object; `where` says which, for the message."""

    members: dict[str, object]
    where: str

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Fields:
        """Decode a document whose top is an object; InvalidInput if it is anything else."""
        try:
            document: object = json.loads(raw)
        except ValueError as error:
            raise InvalidInput(f"{where}: not JSON: {error}") from error
        return cls.of(document, where)

    @classmethod
    def of(cls, document: object, where: str) -> Fields:
        """Take an object that is part of a larger document."""
        if not is_object(document):
            raise InvalidInput(f"{where}: not an object")
        return cls({str(key): value for key, value in document.items()}, where)

    def _wrong(self, name: str, expected: str) -> InvalidInput:
        return InvalidInput(f"{self.where}: {name} is not {expected}")

    def text(self, name: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        match self.members.get(name, default):
            case str(value):
                return value
            case _:
                raise self._wrong(name, "a string")

    def text_or_none(self, name: str) -> str | None:
        """A string, or None where it is null or missing."""
        return None if self.members.get(name) is None else self.text(name)

    def choice(self, name: str, choices: tuple[Choice, ...]) -> Choice:
        """One of some strings."""
        given = self.text(name)
        for choice in choices:
            if choice == given:
                return choice
        raise self._wrong(name, f"one of {', '.join(choices)}")

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        match self.members.get(name, default):
            case bool():
                raise self._wrong(name, "a whole number")
            case int(value):
                return value
            case _:
                raise self._wrong(name, "a whole number")

    def number(self, name: str, default: float | None = None) -> float:
        """A number."""
        match self.members.get(name, default):
            case bool():
                raise self._wrong(name, "a number")
            case int(value) | float(value):
                return float(value)
            case _:
                raise self._wrong(name, "a number")

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        match self.members.get(name, default):
            case bool(value):
                return value
            case _:
                raise self._wrong(name, "true or false")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; missing is empty."""
        found: list[str] = []
        for value in self.items(name):
            match value:
                case str():
                    found.append(value)
                case _:
                    raise self._wrong(name, "a list of strings")
        return tuple(found)

    def texts_or_none(self, name: str) -> tuple[str, ...] | None:
        """A list of strings, or None where it is null or missing."""
        return None if self.members.get(name) is None else self.texts(name)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """A list of two-string lists."""
        found: list[tuple[str, str]] = []
        for value in self.items(name):
            match value if is_list(value) else ():
                case [str(left), str(right)]:
                    found.append((left, right))
                case _:
                    raise self._wrong(name, "a list of pairs")
        return tuple(found)

    def items(self, name: str) -> list[object]:
        """A list of anything; missing or null is empty."""
        values: object = self.members.get(name)
        if values is None:
            return []
        if not is_list(values):
            raise self._wrong(name, "a list")
        return list(values)

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        return [
            Fields.of(value, f"{self.where}: {name}[{place}]")
            for place, value in enumerate(self.items(name))
        ]

    def object(self, name: str) -> Fields:
        """An object; missing or null is empty."""
        return Fields.of(self.members.get(name) or {}, f"{self.where}: {name}")

    def object_or_none(self, name: str) -> Fields | None:
        """An object, or None where it is null or missing."""
        return None if self.members.get(name) is None else self.object(name)


def plain(value: object) -> object:
    """Turn named tuples into objects and other tuples into lists, all the way down, for json."""
    if is_list(value):
        members = [plain(member) for member in value]
        names: tuple[str, ...] | None = getattr(value, "_fields", None)
        return members if names is None else dict(zip(names, members, strict=True))
    if is_object(value):
        return {str(key): plain(member) for key, member in value.items()}
    return value
