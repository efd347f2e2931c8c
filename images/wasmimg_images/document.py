"""JSON from outside as typed values: a cursor that knows its path, so that errors name the place."""

from __future__ import annotations

import json
from typing import NamedTuple, cast

from wasmimg_images.errors import InvalidInput


class Node(NamedTuple):
    """One value of a document and where it stands; each reader narrows it or raises InvalidInput."""

    value: object
    where: str

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Node:
        """Parse JSON; `where` names the document in errors."""
        try:
            return cls(cast("object", json.loads(raw)), where)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{where} is not JSON: {error}") from error

    def wrong(self, expected: str) -> InvalidInput:
        """Say that the value is of another kind."""
        found = "null" if self.value is None else repr(self.value)
        return InvalidInput(f"{self.where}: expected {expected}, found {found[:60]}")

    def fields(self) -> dict[str, object]:
        """Narrow to an object."""
        value = self.value
        if not isinstance(value, dict):
            raise self.wrong("an object")
        return cast("dict[str, object]", value)

    def get(self, key: str) -> Node | None:
        """Step to a member; nothing if it is absent or null (Go writers emit both)."""
        value = self.fields().get(key)
        return None if value is None else Node(value, f"{self.where}.{key}")

    def need(self, key: str) -> Node:
        """Step to a member that must be there."""
        found = self.get(key)
        if found is None:
            raise InvalidInput(f"{self.where}: {key} is missing")
        return found

    def members(self) -> list[tuple[str, Node]]:
        """Step to all members, nulls left out."""
        return [
            (key, Node(value, f"{self.where}.{key}"))
            for key, value in self.fields().items()
            if value is not None
        ]

    def items(self) -> list[Node]:
        """Step to the items of an array."""
        value = self.value
        if not isinstance(value, list):
            raise self.wrong("an array")
        found = cast("list[object]", value)
        return [Node(value, f"{self.where}[{i}]") for i, value in enumerate(found)]

    def text(self) -> str:
        """Narrow to a string."""
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        return self.value

    def integer(self) -> int:
        """Narrow to an integer; true and 1.0 are none."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.wrong("an integer")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """Narrow to an array of strings."""
        return tuple(item.text() for item in self.items())

    def text_map(self) -> dict[str, str]:
        """Narrow to an object of strings."""
        return {key: node.text() for key, node in self.members()}


def encode(document: dict[str, object]) -> bytes:
    """Write a document the one way that we write documents: sorted, compact, UTF-8."""
    return json.dumps(
        document,
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
    ).encode()
