"""Compilers for wasm32-wasip1: what each needs, whether it is here, how cargo is told to use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TARGET: Final = "wasm32-wasip1"


class Probe(NamedTuple):
    """Whether a toolchain can be used here: `missing` says what it lacks, `hint` how to get it."""

    missing: str | None
    hint: str | None = None


class Toolchain(Protocol):
    """A compiler that is, or could be, on this machine."""

    @property
    def name(self) -> str:
        """What --toolchain calls it."""
        ...

    def probe(self) -> Probe:
        """Look whether it can be used."""
        ...

    def identity(self) -> str:
        """Say which compiler it is, so that another one means another build."""
        ...

    def cargo(self) -> str:
        """Say which cargo to run."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Give the variables that cargo needs beside the caller's."""
        ...

    def rustflags(self) -> Sequence[str]:
        """Give the compiler's flags."""
        ...

    def cargo_flags(self) -> Sequence[str]:
        """Give cargo's flags, for fetching as well as building."""
        ...

    def lock_flags(self, path: Path) -> Sequence[str]:
        """Give the flags that make cargo keep a lock file at `path`; none if it knows no such."""
        ...

    def sources(self) -> Mapping[Path, str]:
        """Map folders of the toolchain whose paths end up in programs to fixed names."""
        ...
