"""The order in which services start: a graph of names, and the waves that it can be walked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def waves(needs: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Put names into groups such that each group needs only earlier ones; names in a group are sorted.

    Raises InvalidInput for a name that nobody defines, and for a cycle, which it spells out.
    """
    for name, others in needs.items():
        for other in others:
            if other not in needs:
                raise InvalidInput(f"services.{name}.depends_on: no service is called {other!r}")
    done: set[str] = set()
    order: list[list[str]] = []
    while len(done) < len(needs):
        ready = sorted(
            n for n, others in needs.items() if n not in done and done.issuperset(others)
        )
        if not ready:
            raise InvalidInput(
                f"depends_on goes round in a circle: {' -> '.join(_cycle(needs, done))}"
            )
        order.append(ready)
        done.update(ready)
    return order


def _cycle(needs: Mapping[str, Collection[str]], done: set[str]) -> list[str]:
    """Follow the first open need of each name until one comes up again."""
    name = min(n for n in needs if n not in done)
    path: list[str] = []
    while name not in path:
        path.append(name)
        name = min(other for other in needs[name] if other not in done)
    return [*path[path.index(name) :], name]


def closure(needs: Mapping[str, Collection[str]], wanted: Collection[str]) -> set[str]:
    """Give the wanted names and all they need; InvalidInput for a name that nobody defines."""
    found: set[str] = set()
    open_names = list(wanted)
    while open_names:
        name = open_names.pop()
        if name in found:
            continue
        if name not in needs:
            raise InvalidInput(
                f"no service is called {name!r}", hint=f"there are: {', '.join(sorted(needs))}"
            )
        found.add(name)
        open_names.extend(needs[name])
    return found
