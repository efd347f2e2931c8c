"""Debian's own packages.

Debian 12 has a current compiler for its browsers (rustc-web) but no standard library for Wasm: it
is built with the program, from rust-web-src (-Zbuild-std). Debian 13 and later package the library.
Neither has rust-lld: the linker is wasm-ld.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_builder.toolchains import TARGET, Probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_S: Final = 60
_LOCK_OPTION: Final = "lockfile-path"
_BOOKWORM: Final = 12


class _Release(NamedTuple):
    """What a release calls its parts: package -> a file of it."""

    packages: Mapping[str, str]
    linker: str
    build_std: bool


_WITH_SOURCES: Final = _Release(
    {
        "rustc-web": "usr/bin/rustc",
        "cargo-web": "usr/bin/cargo",
        "rust-web-src": "usr/lib/rustlib/src/rust/library/std/Cargo.toml",
        "lld-19": "usr/bin/wasm-ld-19",
        "wasi-libc": "usr/lib/wasm32-wasi/crt1-command.o",
    },
    "wasm-ld-19",
    build_std=True,
)
_WITH_LIBRARY: Final = _Release(
    {
        "rustc": "usr/bin/rustc",
        "cargo": "usr/bin/cargo",
        "libstd-rust-dev-wasm32": f"usr/lib/rustlib/{TARGET}/lib",
        "lld": "usr/bin/wasm-ld",
    },
    "wasm-ld",
    build_std=False,
)


class DebianToolchain:
    """The compiler of the Debian release below `root` (another root is for tests)."""

    name = "debian"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._version = _debian_version(root)
        old = self._version is not None and self._version <= _BOOKWORM
        self._release = _WITH_SOURCES if old else _WITH_LIBRARY

    def probe(self) -> Probe:
        """Look for a file of each package."""
        if self._version is None:
            return Probe("this is not Debian")
        if self._version < _BOOKWORM:
            return Probe(f"Debian {self._version} has no compiler for it")
        lacking = [
            package
            for package, file in self._release.packages.items()
            if not (self._root / file).exists()
        ]
        if lacking:
            everything = " ".join(self._release.packages)
            return Probe(f"not installed: {', '.join(lacking)}", f"apt-get install {everything}")
        return Probe(None)

    def identity(self) -> str:
        """Give rustc's version and commit; Debian patches it under the same ones."""
        try:
            done = subprocess.run(
                [self._root / "usr/bin/rustc", "-vV"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return "debian none"
        return f"debian {self._version} {done.stdout.strip()}"

    def cargo(self) -> str:
        """Give the packaged cargo: rustup's may come first on PATH."""
        return str(self._root / "usr/bin/cargo")

    def environment(self) -> Mapping[str, str]:
        """Name the compiler and the linker, and allow -Z where the library is built."""
        found = {
            "RUSTC": str(self._root / "usr/bin/rustc"),
            "CARGO_TARGET_WASM32_WASIP1_LINKER": self._release.linker,
        }
        if self._release.build_std:
            found["RUSTC_BOOTSTRAP"] = "1"
        return found

    def rustflags(self) -> Sequence[str]:
        """Link against Debian's wasi-libc where the compiler brings no C library of its own."""
        if not self._release.build_std:
            return ()
        libc = self._root / "usr/lib/wasm32-wasi"
        return (
            f"-Lnative={libc}",
            "-Clink-self-contained=no",
            f"-Clink-arg={libc / 'crt1-command.o'}",
        )

    def cargo_flags(self) -> Sequence[str]:
        """Build the standard library too, where it is not packaged."""
        return ("-Zbuild-std=std,panic_abort",) if self._release.build_std else ()

    def lock_flags(self, path: Path) -> Sequence[str]:
        """Name a place for the lock file, where -Z is allowed and this cargo has the option."""
        if not self._release.build_std or not self._knows(_LOCK_OPTION):
            return ()
        # A TOML basic string is written as a JSON one.
        place = json.dumps(str(path), ensure_ascii=False)
        return (f"-Z{_LOCK_OPTION}", "--config", f"resolver.lockfile-path={place}")

    def _knows(self, option: str) -> bool:
        """Ask cargo for its unstable options (Cargo Book, "Unstable Features")."""
        try:
            done = subprocess.run(
                [self.cargo(), "-Z", "help"],
                env={"PATH": os.defpath, "RUSTC_BOOTSTRAP": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return option in done.stdout

    def sources(self) -> Mapping[Path, str]:
        """Name the standard library's sources as other compilers do."""
        return {self._root / "usr/lib/rustlib/src/rust": "/rustc/src"}


def _debian_version(root: Path) -> int | None:
    """Read os-release(5); a testing system has no VERSION_ID and counts as the newest."""
    try:
        lines = (root / "etc/os-release").read_text().splitlines()
    except OSError:
        return None
    fields = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    if fields.get("ID") != "debian":
        return None
    number = fields.get("VERSION_ID", "99").split(".")[0]
    return int(number) if number.isdigit() else None
