"""What a WebAssembly module is, asks for and offers, read from its binary form.

Core modules: WebAssembly core specification, "Binary Format". Function bodies are not looked at;
the engine validates those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_images.wasm_binary import MAGIC, PREAMBLE, Cursor, sections

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["func", "table", "memory", "global", "tag", "component", "instance", "type", "value"]

_CORE: Final = b"\x01\0\0\0"
_COMPONENT: Final = b"\x0d\0\x01\0"
_SECTIONS: Final = {
    0: "custom",
    1: "type",
    2: "import",
    3: "function",
    4: "table",
    5: "memory",
    6: "global",
    7: "export",
    8: "start",
    9: "element",
    10: "code",
    11: "data",
    12: "data count",
    13: "tag",
}
#: Sections come in this order, each at most once (custom ones anywhere).
_ORDER: Final = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)
_KINDS: Final[tuple[Kind, ...]] = ("func", "table", "memory", "global", "tag")
_TYPES: Final = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
    0x69: "exnref",
}
_TYPED_REFERENCES: Final = (0x63, 0x64)
_FUNC: Final = 0x60


class Signature(NamedTuple):
    """A function's parameters and results, in the text format's words."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"


class Import(NamedTuple):
    """What the module asks for; functions of plain types have a signature."""

    module: str
    name: str
    kind: Kind
    signature: Signature | None = None


class Export(NamedTuple):
    """What the module offers."""

    name: str
    kind: Kind
    signature: Signature | None = None


class Module(NamedTuple):
    """A module's or a component's outside."""

    kind: Literal["core", "component"]
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    custom_sections: tuple[str, ...] = ()


def inspect(data: bytes, what: str = "module") -> Module:
    """Read a module's outside; raises InvalidInput saying what is broken and at which byte."""
    if not data.startswith(MAGIC):
        found = "is empty" if not data else f"starts with {data[:4].hex(' ')}, not 00 61 73 6d"
        hint = None
        if data.lstrip().startswith((b"(module", b"(component")):
            hint = "this is the text format: translate it with wat2wasm or wasm-tools parse"
        raise InvalidInput(f"{what} is not WebAssembly: it {found}", hint=hint)
    version = data[4:PREAMBLE]
    if len(version) < len(_CORE):
        raise InvalidInput(f"{what}: truncated: it has {len(data)} of the preamble's 8 bytes")
    if version == _CORE:
        return _Core(what).read(data)
    if version[2:] == _COMPONENT[2:]:
        from wasmimg_images.wasm_component import read_component

        if version != _COMPONENT:
            raise InvalidInput(f"{what}: component format version {version[0]} is not supported")
        return read_component(data, what)
    number = int.from_bytes(version, "little")
    raise InvalidInput(f"{what}: WebAssembly version {number} is not supported")


class _Core:
    """What is collected on the way through a core module."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._types: list[Signature | None] = []
        self._functions: list[Signature | None] = []
        self._imports: list[Import] = []
        self._exports: list[Export] = []
        self._customs: list[str] = []
        self._declared = 0
        self._bodies: int | None = None

    def read(self, data: bytes) -> Module:
        readers: dict[int, Callable[[Cursor], None]] = {
            0: self._custom,
            1: self._type_section,
            2: self._import_section,
            3: self._function_section,
            7: self._export_section,
            10: self._code_section,
        }
        last = -1
        for section in sections(data, _SECTIONS, self._what):
            if section.id:
                position = _ORDER.index(section.id)
                if position <= last:
                    raise section.body.broken("is out of order or there twice")
                last = position
            reader = readers.get(section.id)
            if reader is not None:
                reader(section.body)
        if (self._bodies or 0) != self._declared:
            raise InvalidInput(
                f"{self._what}: declares {self._declared} functions"
                f" and has code for {self._bodies or 0}: truncated?",
            )
        return Module("core", tuple(self._imports), tuple(self._exports), tuple(self._customs))

    def _custom(self, body: Cursor) -> None:
        self._customs.append(body.name())

    def _type_section(self, body: Cursor) -> None:
        for _ in body.count():
            if body.peek() != _FUNC:
                # Garbage-collected types: what follows can't be told without reading them all,
                # and no host function that we know takes any.
                self._types = []
                return
            body.byte()
            self._types.append(Signature(_types(body), _types(body)))

    def _signature(self, index: int) -> Signature | None:
        return self._types[index] if index < len(self._types) else None

    def _import_section(self, body: Cursor) -> None:
        for _ in body.count():
            module, name, kind = body.name(), body.name(), _kind(body)
            signature = self._extern(body, kind)
            if kind == "func":
                self._functions.append(signature)
            self._imports.append(Import(module, name, kind, signature))

    def _extern(self, body: Cursor, kind: Kind) -> Signature | None:
        match kind:
            case "func":
                return self._signature(body.u32())
            case "table":
                _value_type(body)
                _limits(body)
            case "memory":
                _limits(body)
            case "global":
                _value_type(body)
                body.byte()
            case _:
                body.byte()
                body.u32()
        return None

    def _function_section(self, body: Cursor) -> None:
        for _ in body.count():
            self._functions.append(self._signature(body.u32()))
            self._declared += 1

    def _export_section(self, body: Cursor) -> None:
        for _ in body.count():
            name, kind, index = body.name(), _kind(body), body.u32()
            if kind == "func" and index >= len(self._functions):
                raise body.broken(f"exports {name!r}, a function that there is not,")
            signature = self._functions[index] if kind == "func" else None
            self._exports.append(Export(name, kind, signature))

    def _code_section(self, body: Cursor) -> None:
        self._bodies = len(body.count())
        for _ in range(self._bodies):
            size = body.u32()
            if size > body.end - body.at:
                raise body.broken(f"has a function of {size} bytes in {body.end - body.at}")
            body.at += size


def _kind(body: Cursor) -> Kind:
    number = body.byte()
    if number >= len(_KINDS):
        raise body.broken(f"has something of unknown kind {number}")
    return _KINDS[number]


def _types(body: Cursor) -> tuple[str, ...]:
    return tuple([_value_type(body) for _ in body.count()])


def _value_type(body: Cursor) -> str:
    number = body.byte()
    if number in _TYPED_REFERENCES:
        body.leb()
        return "ref"
    return _TYPES.get(number, f"0x{number:02x}")


def _limits(body: Cursor) -> None:
    flags = body.byte()
    body.leb()
    if flags & 1:
        body.leb()
