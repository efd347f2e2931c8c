"""A YAML document whose values know their place, so that an error can name file, line and key.

Values are narrowed here and nowhere else: `Node.text()`, `.mapping()` and the like raise InvalidInput.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import yaml

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    S = TypeVar("S")
    T = TypeVar("T")

Scalar = None | bool | int | float | str
MERGE: Final = "tag:yaml.org,2002:merge"
STRING: Final = "tag:yaml.org,2002:str"
DEPTH: Final = 64
#: Values in a document once its aliases are written out: what a few lines can make endless.
MOST: Final = 100_000
NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS: Final = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
#: Eighteen digits fit 64 bits. What is longer than INTEGER allows is read as a float: inf.
SMALL_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
INTEGER: Final = re.compile(r"[-+]?[0-9]{1,999}|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan")
#: A zero byte ends a string of the kernel's; surrogates are no part of UTF-8.
UNUSABLE: Final = re.compile("[\0\ud800-\udfff]")


class Replace(Protocol):
    """What is done to the text of every scalar before its type is told."""

    def __call__(self, text: str) -> str:
        """Give the text that stands for this one."""
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document, with its key path (`services.web.ports[0]`) and its place."""

    value: Scalar | tuple[Node, ...] | dict[str, Node]
    path: str
    file: str
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def error(self, message: str, *, hint: str | None = None) -> InvalidInput:
        """Make the error that says what is wrong with this value."""
        where = f"{self.path}: " if self.path else ""
        return InvalidInput(f"{self.file}:{self.line}:{self.column}: {where}{message}", hint=hint)

    def mapping(self, known: Iterable[str] | None = None) -> dict[str, Node]:
        """Read a mapping; with `known`, any other key (but `x-…`) is an error that names its path."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.error(f"expected a mapping, found {self.kind()}")
        if known is None:
            return self.value
        allowed = set(known)
        for key in self.value:
            if key not in allowed and not key.startswith("x-"):
                raise self._unknown(key, allowed)
        return {key: node for key, node in self.value.items() if key in allowed}

    def _unknown(self, key: str, allowed: set[str]) -> InvalidInput:
        line, column = self.keys.get(key, (self.line, self.column))
        path = below(self.path, key)
        close = difflib.get_close_matches(key, sorted(allowed), n=1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else f"supported here: {', '.join(sorted(allowed))}"
        )
        return InvalidInput(
            f"{self.file}:{line}:{column}: {path}: this key is not supported", hint=hint
        )

    def sequence(self) -> tuple[Node, ...]:
        """Read a list."""
        if self.value is None:
            return ()
        if not isinstance(self.value, tuple):
            raise self.error(f"expected a list, found {self.kind()}")
        return self.value

    def text(self) -> str:
        """Read a string; numbers count as the text they were written as."""
        match self.value:
            case bool():
                return "true" if self.value else "false"
            case str() | int() | float():
                return str(self.value)
            case _:
                raise self.error(f"expected a string, found {self.kind()}")

    def integer(self) -> int:
        """Read a whole number, also written as a string."""
        match self.value:
            case bool():
                pass
            case int():
                return self.value
            case str() if SMALL_INTEGER.fullmatch(self.value.strip()):
                return int(self.value)
            case _:
                pass
        raise self.error(f"expected a whole number, found {self.kind()}")

    def number(self) -> float:
        """Read a number, also written as a string."""
        match self.value:
            case bool():
                pass
            case int() | float():
                return self._finite(self.value)
            case str() if FLOAT.fullmatch(self.value.strip()):
                return self._finite(self.value)
            case _:
                pass
        raise self.error(f"expected a number, found {self.kind()}")

    def _finite(self, number: float | str) -> float:
        try:
            found = float(number)
        except (ValueError, OverflowError):
            found = math.inf
        if not math.isfinite(found):
            raise self.error(f"expected a finite number, found {self.kind()}")
        return found

    def boolean(self) -> bool:
        """Read true or false, also written as a string."""
        match self.value:
            case bool():
                return self.value
            case "true" | "false":
                return self.value == "true"
            case _:
                raise self.error(f"expected true or false, found {self.kind()}")

    def texts(self) -> tuple[str, ...]:
        """Read a list of strings, or one string as a list of one."""
        if isinstance(self.value, tuple):
            return tuple(item.text() for item in self.value)
        return (self.text(),)

    def kind(self) -> str:
        """Name what was found, for a message."""
        match self.value:
            case None:
                return "nothing"
            case dict():
                return "a mapping"
            case tuple():
                return "a list"
            case bool():
                return "true or false"
            case int() | float():
                return f"the number {self.value}"
            case str():
                return f"the string {self.value!r}"


def read(node: Node, parse: Callable[[str], T]) -> T:
    """Parse a value's text, and say where it stands when that fails."""
    return placed(node, parse, node.text())


def placed(node: Node, check: Callable[[S], T], value: S) -> T:
    """Check a value that was read from a node, and say where it stands when that fails."""
    try:
        return check(value)
    except InvalidInput as error:
        raise node.error(error.message, hint=error.hint) from None


def unchanged(text: str) -> str:
    """Leave a scalar's text as it is."""
    return text


def parse(text: str, file: str, replace: Replace = unchanged) -> Node:
    """Read a YAML document: anchors and merge keys work, tags that make objects are errors.

    Raises InvalidInput with file, line and column.
    """
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Node(None, "", file, 1, 1)
        return _Reader(loader, file, replace).node(root, "", 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise InvalidInput(f"{place}: {error.problem or 'malformed YAML'}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{file}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InvalidInput(f"{file}: nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


@dataclass(frozen=True, slots=True)
class _Reader:
    loader: yaml.SafeLoader
    file: str
    replace: Replace
    count: itertools.count[int] = field(default_factory=itertools.count)
    above: list[yaml.Node] = field(default_factory=list[yaml.Node])

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if any(node is other for other in self.above):
            raise InvalidInput(f"{self.file}:{line}:{column}: an anchor's value contains itself")
        if depth > DEPTH:
            raise InvalidInput(f"{self.file}:{line}:{column}: nested too deeply")
        if next(self.count) > MOST:
            raise InvalidInput(f"{self.file}: more than {MOST} values once aliases are followed")
        self.above.append(node)
        try:
            return self.value(node, path, depth)
        finally:
            self.above.pop()

    def value(self, node: yaml.Node, path: str, depth: int) -> Node:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        match node:
            case yaml.MappingNode():
                return self.mapping(node, path, depth)
            case yaml.SequenceNode():
                items = tuple(
                    self.node(item, f"{path}[{number}]", depth + 1)
                    for number, item in enumerate(node.value)
                )
                return Node(items, path, self.file, line, column)
            case yaml.ScalarNode():
                return Node(self.scalar(node, path), path, self.file, line, column)
            case _:
                raise InvalidInput(f"{self.file}:{line}:{column}: {path}: not a value")

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Node:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        for key, value in node.value:
            mark = key.start_mark
            place = f"{self.file}:{mark.line + 1}:{mark.column + 1}"
            if key.tag == MERGE:
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for part in parts:
                    for name, inner in self.node(part, path, depth + 1).mapping().items():
                        merged.setdefault(name, inner)
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidInput(f"{place}: {path}: a key must be a string")
            name = str(key.value)
            if name in own:
                raise InvalidInput(f"{place}: the key {name!r} stands here twice")
            keys[name] = (mark.line + 1, mark.column + 1)
            self.check(name, key, path)
            own[name] = self.node(value, below(path, name), depth + 1)
        start = node.start_mark
        return Node({**merged, **own}, path, self.file, start.line + 1, start.column + 1, keys)

    def scalar(self, node: yaml.ScalarNode, path: str) -> Scalar:
        written = str(node.value)
        try:
            text = self.replace(written)
        except InvalidInput as error:
            start = node.start_mark
            place = f"{self.file}:{start.line + 1}:{start.column + 1}"
            raise InvalidInput(f"{place}: {path}: {error.message}", hint=error.hint) from None
        self.check(text, node, path)
        quoted = node.style is not None
        asked_for_text = node.tag == STRING and not isinstance(resolve(written), str)
        return text if quoted or asked_for_text else resolve(text)

    def check(self, text: str, node: yaml.ScalarNode, path: str) -> None:
        """Refuse what no program and no file can be given."""
        if UNUSABLE.search(text):
            start = node.start_mark
            raise InvalidInput(
                f"{self.file}:{start.line + 1}:{start.column + 1}: {path}: {text!r}: "
                "neither a zero byte nor half a character can be passed on"
            )


def below(path: str, key: str) -> str:
    """Go one key further down a path; one with control characters stands as its repr."""
    shown = key if key.isprintable() else repr(key)
    return f"{path}.{shown}" if path else shown


def resolve(text: str) -> Scalar:
    """Tell the type of a plain scalar by the core schema of YAML 1.2 (section 10.3.2).

    YAML 1.1, as the parser would have it, reads `22:22` as a number and `no` as false; Compose does not.
    """
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if INTEGER.fullmatch(text):
        return int(text, 8) if text.startswith("0o") else int(text, 16 if "x" in text else 10)
    if FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text
