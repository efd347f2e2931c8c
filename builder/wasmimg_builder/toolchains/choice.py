"""Which toolchain a build takes, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_builder.toolchains import TARGET, Probe, Toolchain
from wasmimg_builder.toolchains.debian import DebianToolchain
from wasmimg_builder.toolchains.host import HostToolchain
from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: In the order in which `auto` tries them.
NAMES: Final = ("host", "debian")


class Choice(NamedTuple):
    """A toolchain that can be used, and the reason for taking it."""

    toolchain: Toolchain
    why: str


def known(project: Path, environ: Mapping[str, str]) -> tuple[Toolchain, ...]:
    """Make all toolchains, in the order of NAMES."""
    return (HostToolchain(project, environ), DebianToolchain())


def choose(wanted: str, toolchains: Sequence[Toolchain]) -> Choice:
    """Take the named one, or for `auto` the first that can be used.

    Raises HostError saying what each one lacks, with the command that would help as hint.
    """
    if wanted != "auto":
        toolchain = next(t for t in toolchains if t.name == wanted)
        probe = toolchain.probe()
        if probe.missing is not None:
            raise HostError(f"toolchain {wanted}: {probe.missing}", hint=probe.hint)
        return Choice(toolchain, "as asked")
    passed: list[tuple[str, Probe]] = []
    for toolchain in toolchains:
        probe = toolchain.probe()
        if probe.missing is None:
            reasons = "; ".join(f"{name}: {other.missing}" for name, other in passed)
            return Choice(toolchain, reasons or "the first that can be used")
        passed.append((toolchain.name, probe))
    reasons = "; ".join(f"{name}: {probe.missing}" for name, probe in passed)
    hint = next((probe.hint for _, probe in reversed(passed) if probe.hint), None)
    raise HostError(f"no compiler for {TARGET} ({reasons})", hint=hint)
