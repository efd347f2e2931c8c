"""What `wasmimg install` and `uninstall` share: showing a plan, asking, running it under the lock."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from wasmimg.console import warning
from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import execution
from wasmimg_shim.install import record as records
from wasmimg_shim.install.rooted import Root

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_images.home import Home
    from wasmimg_shim.install.plan import Plan
    from wasmimg_shim.install.record import Record


class Place(NamedTuple):
    """Where it is installed, and where the record of that is, as a path inside the root."""

    root: Root
    record_path: str

    @classmethod
    def of(cls, root: str, home: Home) -> Place:
        """Take the root that the user named; InvalidInput if there is no such folder."""
        if not os.path.isdir(root):
            raise InvalidInput(f"{root} is no folder", hint="--root names the root of a machine")
        return cls(Root(root), str(home.data / "install.json"))

    def record(self) -> Record:
        """Read the record."""
        return records.load(self.root, self.record_path)


def carry_out(
    place: Place, make_plan: Callable[[], Plan], *, dry_run: bool, yes: bool, nothing: str
) -> None:
    """Make a plan and run it, or print it; `nothing` is said if there is nothing to do."""
    if dry_run:
        plan = make_plan()
        for operation in plan.operations:
            print(operation.describe())
        _tell(plan, nothing)
        if plan.asks:
            warning(f"{plan.asks} (--yes agrees)")
        return
    if place.root.path == "/" and os.geteuid() != 0:
        raise HostError("this changes the machine's settings, which only root may", hint="sudo")
    with execution.locked(place.root, os.path.dirname(place.record_path)):
        execution.sweep(place.root, place.record(), place.record_path)
        plan = make_plan()
        if plan.asks and not yes:
            _ask(plan.asks)
        try:
            for operation in plan.operations:
                print(operation.describe(), file=sys.stderr, flush=True)
                execution.run(operation, place.root)
        finally:
            _tell(plan, nothing)


def _tell(plan: Plan, nothing: str) -> None:
    for note in plan.notes:
        warning(note)
    if not plan.operations:
        print(nothing, file=sys.stderr)


def _ask(question: str) -> None:
    with contextlib.suppress(click.Abort):
        if sys.stdin.isatty() and click.confirm(f"{question}. Go on?", err=True):
            return
    raise InvalidInput(question, hint="--yes agrees to it; --keep-image-store leaves it as it is")
