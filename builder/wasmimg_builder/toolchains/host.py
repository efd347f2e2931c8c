"""The cargo that the user has, with the standard library for wasm32-wasip1 installed."""

from __future__ import annotations

import os
import subprocess
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wasmimg_builder.toolchains import TARGET, Probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_S: Final = 60


class HostToolchain:
    """Cargo and rustc as they are found on PATH, in the project's folder (rust-toolchain.toml)."""

    name = "host"

    def __init__(self, project: Path, environ: Mapping[str, str]) -> None:
        self._project = project
        self._environ = dict(environ)

    def probe(self) -> Probe:
        """Look for the target's standard library in the compiler's sysroot."""
        if self._rustc is None or self._cargo is None:
            return Probe("no rustc and cargo on PATH", "see https://rustup.rs")
        sysroot = self._output("--print", "sysroot")
        if sysroot is None:
            return Probe("rustc does not run here", "is the project's rust-toolchain installed?")
        if not (Path(sysroot) / "lib/rustlib" / TARGET / "lib").is_dir():
            return Probe(f"rustc has no {TARGET} library", f"rustup target add {TARGET}")
        return Probe(None)

    def identity(self) -> str:
        """Give rustc's version and commit."""
        return f"host {self._output('-vV') or 'none'}"

    def cargo(self) -> str:
        """Give cargo's path."""
        return self._cargo or "cargo"

    def environment(self) -> Mapping[str, str]:
        """Add nothing."""
        return {}

    def rustflags(self) -> Sequence[str]:
        """Add nothing."""
        return ()

    def cargo_flags(self) -> Sequence[str]:
        """Add nothing."""
        return ()

    def lock_flags(self, path: Path) -> Sequence[str]:
        """Give none: cargo's releases lock beside the manifest only."""
        del path
        return ()

    def sources(self) -> Mapping[Path, str]:
        """Name the standard library's sources as the compiler's makers do: they are remapped."""
        return {}

    @cached_property
    def _rustc(self) -> str | None:
        return _which("rustc", self._environ)

    @cached_property
    def _cargo(self) -> str | None:
        return _which("cargo", self._environ)

    def _output(self, *arguments: str) -> str | None:
        if self._rustc is None:
            return None
        try:
            done = subprocess.run(
                [self._rustc, *arguments],
                cwd=self._project,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()


def _which(program: str, environ: Mapping[str, str]) -> str | None:
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder, program)
        if folder and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    return None
