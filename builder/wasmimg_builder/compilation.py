"""Running cargo so that the same sources give the same module in every folder and for every user.

Paths are remapped to fixed names, symbols stripped, the environment reduced to what cargo needs.
Everything is built below the build cache; a project's own folder is only read.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from wasmimg_builder import rustc_wrapper
from wasmimg_builder.toolchains import TARGET
from wasmimg_images.errors import BuildFailed, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from wasmimg_builder.cargo import CargoProject
    from wasmimg_builder.toolchains import Toolchain

#: What cargo and rustup may see of the caller's environment, beside CARGO_HOME and the like.
_KEPT: Final = frozenset(
    {
        "ALL_PROXY",
        "CARGO_HOME",
        "CARGO_NET_OFFLINE",
        "CARGO_BUILD_JOBS",
        "HOME",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "PATH",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TERM",
        "TMPDIR",
        "USER",
        "all_proxy",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    },
)
_KEPT_PREFIXES: Final = ("CARGO_REGISTRIES_", "CARGO_SOURCE_", "CARGO_HTTP_", "CARGO_NET_")
_SEPARATOR: Final = "\x1f"
_NOT_FOUND: Final = 127
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class Command(NamedTuple):
    """A program to run; `env` is the whole environment."""

    arguments: tuple[str, ...]
    folder: Path
    env: Mapping[str, str]


class Runner(Protocol):
    """Runs programs, giving their messages line by line."""

    def __call__(self, command: Command, on_line: Callable[[str], None]) -> int:
        """Run to the end; gives the exit status."""
        ...


def _end_with_parent() -> None:
    """Have the kernel end this process when the one that waits for it is killed (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run_process(command: Command, on_line: Callable[[str], None]) -> int:
    """Run a program with the messages of both its streams together; umask 022, no input."""
    try:
        process = subprocess.Popen(
            command.arguments,
            cwd=command.folder,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            umask=0o022,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 -- builds run in one thread
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        return _NOT_FOUND
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
    return process.returncode


class Compilation(NamedTuple):
    """One binary of a Cargo project, to be compiled with one toolchain below one folder."""

    project: CargoProject
    toolchain: Toolchain
    target_folder: Path
    environ: Mapping[str, str]
    epoch: int

    @property
    def module(self) -> Path:
        """Say where the module will be."""
        return self.target_folder / TARGET / "release" / f"{self.project.binary.name}.wasm"

    @property
    def dep_info(self) -> Path:
        """Say where cargo lists the files that went into it."""
        return self.module.with_suffix(".d")

    def fetch(self) -> Command:
        """Download the packages first: their folders must be known to be remapped."""
        return self._command("fetch", "--target", TARGET)

    def build(self) -> Command:
        """Compile the binary; cargo itself knows what of it is unchanged."""
        binary = self.project.binary
        selected = ("--package", binary.package, "--bin", binary.name)
        strip = () if self.project.sets_strip else ("--config", "profile.release.strip=true")
        return self._command("build", "--release", "--target", TARGET, *selected, *strip)

    def _command(self, verb: str, *arguments: str) -> Command:
        flags = (*self.toolchain.cargo_flags(), *arguments, *self._lock())
        return Command((self.toolchain.cargo(), verb, *flags), self.project.root, self._env())

    def _lock(self) -> Sequence[str]:
        """Obey the project's lock file; where it has none, keep one beside what is compiled."""
        if self.project.locked:
            return ("--locked",)
        return self.toolchain.lock_flags(self.target_folder / "Cargo.lock")

    def _env(self) -> dict[str, str]:
        env = {
            key: value
            for key, value in self.environ.items()
            if key in _KEPT or key.startswith(_KEPT_PREFIXES)
        }
        env |= self.toolchain.environment()
        env |= rustc_wrapper.install(self.target_folder, self.project.packages())
        env |= {
            "CARGO_ENCODED_RUSTFLAGS": _SEPARATOR.join(self._rustflags()),
            "CARGO_INCREMENTAL": "0",
            "CARGO_TARGET_DIR": str(self.target_folder),
            "LC_ALL": "C.UTF-8",
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "TZ": "UTC",
        }
        return env

    def _rustflags(self) -> list[str]:
        given = self.environ.get("RUSTFLAGS", "").split()
        remapped = [f"--remap-path-prefix={path}={name}" for path, name in self._names()]
        return [*given, *self.toolchain.rustflags(), *remapped]

    def _names(self) -> Iterator[tuple[Path, str]]:
        """Give fixed names to folders; the compiler takes the last that fits, so inner ones follow."""
        home = _cargo_home(self.environ)
        yield home, "/cargo"
        for registry in sorted((home / "registry/src").glob("*")):
            yield registry, "/cargo/registry"
        yield from self.toolchain.sources().items()
        yield self.target_folder, "/target"
        for package in self.project.packages():
            if not package.is_relative_to(self.project.root):
                yield package, f"/src/{package.name}"
        yield self.project.root, "/src"


def _cargo_home(environ: Mapping[str, str]) -> Path:
    found = environ.get("CARGO_HOME")
    return Path(found) if found else Path(environ.get("HOME", "/")) / ".cargo"


def compile_module(
    compilation: Compilation,
    runner: Runner,
    on_line: Callable[[str], None],
) -> Path:
    """Fetch and compile; gives the module's path. Raises BuildFailed after the compiler's messages."""
    compilation.target_folder.mkdir(parents=True, exist_ok=True)
    for command in (compilation.fetch, compilation.build):
        ready = command()
        status = runner(ready, on_line)
        if status == _NOT_FOUND:
            raise HostError(f"{ready.arguments[0]} is not there", hint="install cargo")
        if status:
            _explain(status, ready, compilation)
    if not compilation.module.is_file():
        raise BuildFailed(f"cargo made no {compilation.module.name}")
    return compilation.module


def _explain(status: int, command: Command, compilation: Compilation) -> None:
    folder = compilation.project.binary.folder
    if status < 0:
        raise BuildFailed(
            f"cargo {command.arguments[1]} in {folder} was killed by signal {-status}",
            hint="out of memory?" if status == -signal.SIGKILL else None,
        )
    raise BuildFailed(f"cargo {command.arguments[1]} failed in {folder} (exit status {status})")


def inputs_of(dep_info: Path) -> Sequence[Path]:
    """Read the files that cargo found to matter; spaces in names are written as backslash space."""
    try:
        text = dep_info.read_text(errors="surrogateescape")
    except OSError:
        return ()
    listed = text.partition(":")[2].split("\n", 1)[0].replace("\\ ", "\0").split()
    return [Path(os.fsdecode(name.replace("\0", " "))) for name in listed]
