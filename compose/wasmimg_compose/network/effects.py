"""Doing a plan: consecutive ip commands of a namespace in one call, one nft transaction each."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wasmimg_compose import command, kernel
from wasmimg_compose.network.plan import DropNamespace, Ip, MakeNamespace, Nft, Sysctl
from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wasmimg_compose.network.plan import Operation


class Effects(Protocol):
    """Whoever carries a plan out."""

    def execute(self, plan: Iterable[Operation]) -> None:
        """Do the operations in order; HostError at the first that fails."""


class HostEffects:
    """Carries plans out on this machine."""

    def execute(self, plan: Iterable[Operation]) -> None:
        """Do the operations in order; HostError at the first that fails."""
        for _, group in itertools.groupby(plan, key=_batch):
            _execute(list(group))


def _batch(operation: Operation) -> object:
    """Say which operations can share a call; others are groups of their own."""
    match operation:
        case Ip():
            return (Ip, operation.namespace, operation.may_fail)
        case _:
            return operation


def _execute(group: Sequence[Operation]) -> None:
    for operation in group:
        match operation:
            case MakeNamespace():
                kernel.make_network_namespace(operation.path)
            case DropNamespace():
                kernel.drop_network_namespace(operation.path)
            case Sysctl():
                _set(operation)
            case Nft():
                _report("nft", command.run(("nft", "-f", "-"), operation.script))
            case Ip():
                commands = [each for each in group if isinstance(each, Ip)]
                _ip(commands)
                return


def _ip(commands: Sequence[Ip]) -> None:
    namespace, may_fail = commands[0].namespace, commands[0].may_fail
    force = ("-force",) if may_fail else ()
    script = "".join(f"{each.command}\n" for each in commands)
    with kernel.in_network(namespace):
        finished = command.run(("ip", *force, "-batch", "-"), script)
    if not may_fail:
        _report("ip", finished)


def _report(program: str, finished: command.Finished) -> None:
    if finished.status:
        first = next(iter(finished.output.strip().splitlines()), f"status {finished.status}")
        hint = "containers need root" if "not permitted" in first else None
        raise HostError(f"network: {program}: {first}", hint=hint)


def _set(operation: Sysctl) -> None:
    path = Path("/proc/sys", operation.path)
    if path.read_text().strip() != operation.value:
        path.write_text(operation.value)
