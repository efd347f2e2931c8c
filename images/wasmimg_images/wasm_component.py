"""The outside of a component: the names that it imports and exports.

Component model, design/mvp/Binary.md. Types are not resolved: a name such as
`wasi:cli/run@0.2.0` says what a host needs to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmimg_images.wasm import Export, Import, Kind, Module
from wasmimg_images.wasm_binary import sections

if TYPE_CHECKING:
    from wasmimg_images.wasm_binary import Cursor

_SECTIONS: Final = {
    0: "custom",
    1: "core module",
    2: "core instance",
    3: "core type",
    4: "component",
    5: "instance",
    6: "alias",
    7: "type",
    8: "canonical function",
    9: "start",
    10: "import",
    11: "export",
    12: "value",
}
_CUSTOM, _IMPORT, _EXPORT = 0, 10, 11
#: The `sort` byte; 0x00 is a core sort, with a byte of its own.
_SORTS: Final[dict[int, Kind]] = {
    1: "func",
    2: "value",
    3: "type",
    4: "component",
    5: "instance",
}
#: The first byte of an `externdesc`.
_DESCRIBED: Final[dict[int, Kind]] = {0: "type", **_SORTS}
_CORE_MODULE: Final = 0x11


def read_component(data: bytes, what: str) -> Module:
    """Read a component's outside; raises InvalidInput."""
    imports: list[Import] = []
    exports: list[Export] = []
    customs: list[str] = []
    for section in sections(data, _SECTIONS, what):
        body = section.body
        if section.id == _CUSTOM:
            customs.append(body.name())
        elif section.id == _IMPORT:
            imports += [Import("", _extern_name(body), _described(body)) for _ in body.count()]
        elif section.id == _EXPORT:
            exports += [_export(body) for _ in body.count()]
    return Module("component", tuple(imports), tuple(exports), tuple(customs))


def _extern_name(body: Cursor) -> str:
    """Read `importname'` or `exportname'`: a kind byte, a name, a version suffix for kind 2."""
    kind = body.byte()
    if kind > 2:  # noqa: PLR2004 -- 0 and 1 are plain, 2 has a version suffix
        raise body.broken(f"has a name of unknown kind {kind}")
    name = body.name()
    return f"{name}{body.name()}" if kind == 2 else name  # noqa: PLR2004 -- as above


def _described(body: Cursor) -> Kind:
    """Read an `externdesc`."""
    number = body.byte()
    kind = _DESCRIBED.get(number)
    if kind is None:
        raise body.broken(f"describes something of unknown kind {number}")
    if number == 0 and body.byte() != _CORE_MODULE:
        raise body.broken("describes a core item that is no module")
    if kind in {"type", "value"} and number:  # a bound: equal to (an index) or any resource
        if body.byte() == 0 or kind == "value":
            body.u32()
        return kind
    body.u32()
    return kind


def _export(body: Cursor) -> Export:
    name = _extern_name(body)
    sort = body.byte()
    if sort == 0:
        body.byte()
    elif sort not in _SORTS:
        raise body.broken(f"exports something of unknown kind {sort}")
    body.u32()
    described = body.byte()
    if described == 1:
        _described(body)
    return Export(name, _SORTS.get(sort, "type"))
