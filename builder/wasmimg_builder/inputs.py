"""Everything that a compiled image is made of, so that a change of any of it is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wasmimg_builder import image_files
from wasmimg_builder.build_cache import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wasmimg_builder.plan import Compile, Plan


class Inputs:
    """The inputs of one plan: sources, files, compiler, flags and settings."""

    def __init__(self, plan: Plan, source: Compile, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._source = source
        self._environ = environ

    def fingerprint(self, extra: Iterable[Path] = ()) -> str:
        """Hash them, and `extra` files that an earlier build was found to read, as they are now."""
        plan, project = self._plan, self._source.project
        toolchain = self._source.choice.toolchain
        entries = image_files.collect(plan.pack.files, plan.folder)
        facts = [
            toolchain.identity(),
            *toolchain.rustflags(),
            *toolchain.cargo_flags(),
            self._environ.get("RUSTFLAGS", ""),
            project.binary.name,
            plan.pack.target,
            repr(plan.assemble),
            repr(plan.optimize),
            *(f"{entry.target} {entry.link}" for entry in entries),
        ]
        files = [entry.source for entry in entries if entry.source is not None]
        return fingerprint(facts, project.root, [*project.sources(), *files, *extra])

    def outside(self, listed: Iterable[Path], cache: Path) -> tuple[Path, ...]:
        """Keep the compiler's inputs that are not the project's, the toolchain's or a registry's."""
        covered = set(self._source.project.sources())
        fixed = [*self._source.choice.toolchain.sources(), cache]
        fixed.append(Path(self._environ.get("CARGO_HOME") or Path.home() / ".cargo"))
        return tuple(
            path
            for path in listed
            if path not in covered and not any(path.is_relative_to(folder) for folder in fixed)
        )
