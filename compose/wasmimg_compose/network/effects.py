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
        """Do the operations in order; HostError at the first that fails.

        A transaction of nft is waited for at the end only: it names interfaces and needs none, and
        most of its time is the kernel's waiting for other processors.
        """
        begun: list[command.Running] = []
        try:
            for _, group in itertools.groupby(plan, key=_batch):
                operations = list(group)
                match operations[0]:
                    case Nft() as transaction:
                        begun.append(command.begin(("nft", "-f", "-"), transaction.script))
                    case _:
                        _execute(operations)
        finally:
            ended = [running.wait() for running in begun]
        for finished in ended:
            _report("nft", finished)


def _batch(operation: Operation) -> object:
    """Say which operations can share a call; others are groups of their own."""
    match operation:
        case Ip():
            return (Ip, operation.namespace, operation.may_fail)
        case _:
            return operation


def _execute(group: Sequence[Operation]) -> None:
    match group[0]:
        case MakeNamespace(path):
            kernel.make_network_namespace(path)
        case DropNamespace(path):
            kernel.drop_network_namespace(path)
        case Sysctl() as setting:
            _set(setting)
        case _:
            _ip([each for each in group if isinstance(each, Ip)])


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
