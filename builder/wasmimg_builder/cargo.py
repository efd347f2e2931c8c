"""What a Cargo project holds, read from its manifests: no cargo is run, nothing is compiled.

Cargo Book, "Package Layout" and "Cargo Targets": src/main.rs, src/bin/*.rs, src/bin/*/main.rs and
[[bin]] tables make binaries; [workspace] members are globs.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from wasmimg_images.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = "Cargo.toml"
_DEPENDENCIES: Final = ("dependencies", "build-dependencies", "dev-dependencies")
_SKIPPED: Final = frozenset({"target", "node_modules"})


class Binary(NamedTuple):
    """A program that a package makes."""

    package: str
    name: str
    folder: Path


class CargoProject(NamedTuple):
    """One binary, and what its build reads."""

    root: Path
    binary: Binary
    locked: bool
    sets_strip: bool

    def packages(self) -> list[Path]:
        """List the folders of the package and of the local ones that it depends on."""
        found: list[Path] = []
        waiting = [self.binary.folder]
        while waiting:
            folder = waiting.pop()
            if folder not in found:
                found.append(folder)
                manifest = _toml(folder / MANIFEST)
                waiting += _local_dependencies(folder, manifest)
                waiting += _inherited(_workspace_root(folder), manifest)
        return found

    def sources(self) -> Iterator[Path]:
        """List the files that may change the outcome: those of all local packages.

        Generated and hidden folders are left out; the registry's packages never change.
        """
        for name in (MANIFEST, "Cargo.lock", "rust-toolchain", "rust-toolchain.toml"):
            if (self.root / name).is_file():
                yield self.root / name
        yield from (self.root / ".cargo").glob("config*")
        for folder in self.packages():
            yield from _files(folder)
            yield _workspace_root(folder) / MANIFEST  # what members inherit


def discover(path: Path, *, wanted: str | None) -> CargoProject:
    """Find the binary to build below a folder; raises InvalidInput if it can't be told which."""
    path = path.resolve()
    manifest = _toml(path / MANIFEST)
    packages = [path] if "package" in manifest else _members(path, manifest)
    binaries = [binary for folder in packages for binary in _binaries(folder)]
    if wanted is not None:
        binaries = [binary for binary in binaries if binary.name == wanted]
        if not binaries:
            raise NotFound(f"{path / MANIFEST}: there is no binary {wanted!r}")
    if not binaries:
        raise InvalidInput(
            f"{path / MANIFEST} makes no program: it is a library",
            hint="add src/main.rs, or name the package with `source:` in wasmimg.yaml",
        )
    default = _table(manifest, "package").get("default-run")
    chosen = next((b for b in binaries if b.name == default), None)
    if chosen is None and len(binaries) > 1:
        names = ", ".join(sorted(binary.name for binary in binaries))
        raise InvalidInput(
            f"{path / MANIFEST} makes several programs: {names}",
            hint="say which with --bin, or `bin:` in wasmimg.yaml",
        )
    binary = chosen or binaries[0]
    root = _workspace_root(binary.folder)
    profile = _table(_table(_toml(root / MANIFEST), "profile"), "release")
    return CargoProject(root, binary, (root / "Cargo.lock").is_file(), "strip" in profile)


def _toml(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as stream:
            return cast("dict[str, object]", tomllib.load(stream))
    except FileNotFoundError:
        raise NotFound(
            f"{path} does not exist",
            hint="name a Cargo package, a workspace or a .wasm file",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}") from error


def _table(table: dict[str, object], key: str) -> dict[str, object]:
    found = table.get(key)
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


def _tables(table: dict[str, object], key: str) -> list[dict[str, object]]:
    found = table.get(key)
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]


def _strings(table: dict[str, object], key: str) -> list[str]:
    found = table.get(key)
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [item for item in items if isinstance(item, str)]


def _binaries(folder: Path) -> list[Binary]:
    manifest = _toml(folder / MANIFEST)
    package = _table(manifest, "package")
    name = package.get("name")
    if not isinstance(name, str):
        raise InvalidInput(f"{folder / MANIFEST}: [package] has no name")
    names = [n for table in _tables(manifest, "bin") if isinstance(n := table.get("name"), str)]
    if package.get("autobins", True):
        listed = {
            p for table in _tables(manifest, "bin") if isinstance(p := table.get("path"), str)
        }
        if (folder / "src/main.rs").is_file() and "src/main.rs" not in listed:
            names.append(name)
        names += [p.stem for p in (folder / "src/bin").glob("*.rs")]
        names += [p.parent.name for p in (folder / "src/bin").glob("*/main.rs")]
    return [Binary(name, binary, folder) for binary in dict.fromkeys(names)]


def _members(root: Path, manifest: dict[str, object]) -> list[Path]:
    workspace = _table(manifest, "workspace")
    excluded = {(root / name).resolve() for name in _strings(workspace, "exclude")}
    found: dict[Path, None] = {}
    for pattern in _strings(workspace, "members"):
        for folder in sorted(root.glob(pattern)):
            if (folder / MANIFEST).is_file() and folder.resolve() not in excluded:
                found[folder] = None
    if not found:
        raise InvalidInput(f"{root / MANIFEST} has neither a [package] nor workspace members")
    return list(found)


def _workspace_root(folder: Path) -> Path:
    """Find the manifest with [workspace] that governs a package: its own or one above."""
    package = _table(_toml(folder / MANIFEST), "package")
    pointed = package.get("workspace")
    if isinstance(pointed, str):
        return (folder / pointed).resolve()
    for above in (folder, *folder.resolve().parents):
        if (above / MANIFEST).is_file():
            manifest = _toml(above / MANIFEST)
            if "workspace" in manifest and (above == folder or _governs(above, manifest, folder)):
                return above.resolve()
    return folder.resolve()


def _governs(root: Path, manifest: dict[str, object], folder: Path) -> bool:
    excluded = _strings(_table(manifest, "workspace"), "exclude")
    inner = folder.resolve()
    return not any(inner.is_relative_to((root / name).resolve()) for name in excluded)


def _local_dependencies(folder: Path, manifest: dict[str, object]) -> list[Path]:
    tables = [_table(manifest, key) for key in _DEPENDENCIES]
    for target in _table(manifest, "target").values():
        if isinstance(target, dict):
            inner = cast("dict[str, object]", target)
            tables += [_table(inner, key) for key in _DEPENDENCIES]
    return [
        (folder / path).resolve()
        for table in tables
        for name in table
        if isinstance(path := _table(table, name).get("path"), str)
    ]


def _inherited(root: Path, manifest: dict[str, object]) -> list[Path]:
    """Find local packages that are named by the workspace: `name.workspace = true`."""
    shared = _table(_table(_toml(root / MANIFEST), "workspace"), "dependencies")
    return [
        (root / path).resolve()
        for key in _DEPENDENCIES
        for name, value in _table(manifest, key).items()
        if isinstance(value, dict)
        and cast("dict[str, object]", value).get("workspace") is True
        and isinstance(path := _table(shared, name).get("path"), str)
    ]


def _files(folder: Path) -> Iterator[Path]:
    """Walk a package; folders with manifests of their own are other packages."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_symlink() or entry.is_file():
            yield entry
        elif entry.is_dir() and not (entry / MANIFEST).is_file():
            yield from _files(entry)
