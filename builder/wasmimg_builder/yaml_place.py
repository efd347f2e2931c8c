"""YAML values that know where they stand, so that errors say file, line and column.

Scalars are read as they are written: `8080` and `"8080"` are the same text, as a shell would have
it. Anchors work; tags and merge keys do not.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import yaml

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_SWITCHES: Final = {"true": True, "false": False}
_UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION: Final = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:ns|us|ms|s|m|h))+")
#: An image's config counts them in 63 bits, as Go does.
_MOST_NANOSECONDS: Final = 1 << 63
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")


class YamlValue(NamedTuple):
    """One value of a file; each reader narrows it or raises InvalidInput."""

    node: yaml.Node
    file: str

    @classmethod
    def parse(cls, text: str, file: str) -> YamlValue | None:
        """Parse a document; an empty one is nothing."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            raise InvalidInput(f"{file}{where}: {error.problem or error.context}") from error
        except RecursionError:
            raise InvalidInput(f"{file}: nested too deeply") from None
        except yaml.YAMLError as error:
            raise InvalidInput(f"{file}: {str(error).splitlines()[0]}") from error
        return cls(node, file) if node is not None else None

    @property
    def where(self) -> str:
        """Name the place: file, line and column, counted from one."""
        mark = self.node.start_mark
        return f"{self.file}:{mark.line + 1}:{mark.column + 1}"

    def wrong(self, why: str, *, hint: str | None = None) -> InvalidInput:
        """Say what is wrong here."""
        return InvalidInput(f"{self.where}: {why}", hint=hint)

    def _inner(self, node: yaml.Node) -> YamlValue:
        return YamlValue(node, self.file)

    def pairs(self) -> list[tuple[str, YamlValue, YamlValue]]:
        """Narrow to a mapping: keys as text, keys and values as places; refuses a key given twice."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("expected a mapping (key: value)")
        found: list[tuple[str, YamlValue, YamlValue]] = []
        seen: set[str] = set()
        for key_node, value_node in self.node.value:
            key = self._inner(key_node)
            name = key.text()
            if name in seen:
                raise key.wrong(f"{name!r} is given twice")
            seen.add(name)
            found.append((name, key, self._inner(value_node)))
        return found

    def fields(
        self, allowed: Collection[str], elsewhere: Mapping[str, str] | None = None
    ) -> dict[str, YamlValue]:
        """Narrow to a mapping with known keys; nulls are left out.

        `elsewhere` maps what other formats call a key to its name here, for the hint.
        """
        meant = {**{key: key for key in allowed}, **(elsewhere or {})}
        found: dict[str, YamlValue] = {}
        for name, key, value in self.pairs():
            if name not in allowed:
                near = difflib.get_close_matches(name.lower(), meant, n=1)
                hint = (
                    f"did you mean {meant[near[0]]!r}?" if near else f"known: {', '.join(allowed)}"
                )
                raise key.wrong(f"unknown key {name!r}", hint=hint)
            if not value.is_null():
                found[name] = value
        return found

    def is_null(self) -> bool:
        """Whether nothing is written."""
        node = self.node
        return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS

    def is_list(self) -> bool:
        """Whether it is a sequence."""
        return isinstance(self.node, yaml.SequenceNode)

    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    def text(self) -> str:
        """Narrow to a scalar, as written."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong("expected a single value")
        written: str = self.node.value
        if "\0" in written:
            raise self.wrong("a NUL can't be part of a value")
        return written

    def items(self) -> list[YamlValue]:
        """Narrow to a sequence."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("expected a list")
        return [self._inner(node) for node in self.node.value]

    def texts(self) -> tuple[str, ...]:
        """Narrow to a list of scalars."""
        return tuple(item.text() for item in self.items())

    def text_map(self) -> dict[str, str]:
        """Narrow to a mapping of scalars; null is an empty value."""
        return {name: "" if value.is_null() else value.text() for name, _, value in self.pairs()}

    def switch(self) -> bool:
        """Narrow to true or false."""
        found = _SWITCHES.get(self.text().lower())
        if found is None:
            raise self.wrong(f"expected true or false, found {self.text()!r}")
        return found

    def integer(self) -> int:
        """Narrow to a whole number, not negative."""
        text = self.text()
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise self.wrong(f"expected a whole number, found {text!r}")
        return int(text)

    def duration(self) -> int:
        """Narrow to a time in nanoseconds, written as in Compose: 1m30s."""
        text = self.text()
        if not _DURATION.fullmatch(text):
            raise self.wrong(f"expected a time, found {text!r}", hint="as in 500ms, 10s or 1m30s")
        found = sum(int(float(n) * _UNITS[unit]) for n, unit in _DURATION_PART.findall(text))
        if found >= _MOST_NANOSECONDS:
            raise self.wrong(f"{text!r} is too long a time", hint="at most 292 years")
        return found
