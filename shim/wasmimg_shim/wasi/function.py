"""How a host function is declared and found: a method with its WebAssembly type.

A function returns nothing when it succeeds; it fails by `Refused` or by OSError, ends the guest by
`Exit` and traps by `Trap`. Nothing else may leave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Exit", "Function", "Trap", "declarations", "functions", "host"]

_Method = TypeVar("_Method", bound="Callable[..., None]")
_MARK = "_wasi_functions"


class Exit(Exception):
    """The guest ends with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Trap(Exception):
    """The guest did what no errno can answer; the message says what."""


class Function(NamedTuple):
    """A host function; `parameters` has a letter each, `i` for i32 and `I` for i64."""

    name: str
    parameters: str
    returns: bool
    call: Callable[..., None]


def host(name: str, parameters: str, *, returns: bool = True) -> Callable[[_Method], _Method]:
    """Declare a method as the import `name` of this type; repeatable, for aliases."""

    def mark(method: _Method) -> _Method:
        declared: list[tuple[str, str, bool]] = getattr(method, _MARK, [])
        setattr(method, _MARK, [*declared, (name, parameters, returns)])
        return method

    return mark


def declarations(group: type) -> Iterator[tuple[str, str, bool, str]]:
    """Name, parameters, whether there is a result, and the method, of all that a class declares."""
    for attribute in dir(group):
        declared: list[tuple[str, str, bool]] = getattr(getattr(group, attribute), _MARK, [])
        for name, parameters, returns in declared:
            yield name, parameters, returns, attribute


def functions(group: object) -> Iterator[Function]:
    """All host functions that the object's methods declare."""
    for name, parameters, returns, attribute in declarations(type(group)):
        yield Function(name, parameters, returns, getattr(group, attribute))
