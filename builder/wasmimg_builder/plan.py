"""What a build is going to do, as a list of values; `--dry-run` prints it and stops there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wasmimg_builder.toolchains import TARGET

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_builder.assemble import Settings, Shape
    from wasmimg_builder.cargo import CargoProject
    from wasmimg_builder.projectfile import ImageFile
    from wasmimg_builder.toolchains.choice import Choice
    from wasmimg_images.reference import Reference
    from wasmimg_images.spec import Platform


class Compile(NamedTuple):
    """Make the module from a Cargo project."""

    project: CargoProject
    choice: Choice
    fresh: bool

    def describe(self) -> str:
        """Say it in one line."""
        binary = self.project.binary
        fresh = ", from scratch" if self.fresh else ""
        chosen = f"{self.choice.toolchain.name} ({self.choice.why})"
        return f"compile {binary.name} of {binary.folder} for {TARGET} with {chosen}{fresh}"


class TakeModule(NamedTuple):
    """Use a module that is there already."""

    path: Path

    def describe(self) -> str:
        """Say it in one line."""
        return f"take the module {self.path}"


class Optimize(NamedTuple):
    """Shrink the module with wasm-opt."""

    level: str = "-Oz"

    def describe(self) -> str:
        """Say it in one line."""
        return f"optimize the module with wasm-opt {self.level}"


class Pack(NamedTuple):
    """Put the module and the project's files into one layer; `raw`: the module is the layer."""

    target: str
    files: tuple[ImageFile, ...]
    raw: bool = False

    def describe(self) -> str:
        """Say it in one line."""
        if self.raw:
            return f"take the module as the layer, called {self.target.removeprefix('/')}"
        others = f" and {', '.join(file.target for file in self.files)}" if self.files else ""
        return f"pack {self.target}{others} into a layer"


class Assemble(NamedTuple):
    """Write configs, manifests and, unless the shape is single, the index."""

    settings: Settings
    shape: Shape
    platforms: tuple[Platform, ...]

    def describe(self) -> str:
        """Say it in one line."""
        names = ", ".join(str(platform) for platform in self.platforms)
        if self.shape == "artifact":
            return f"assemble a Wasm artifact for {names}"
        kind = "an index" if self.shape == "index" else "one manifest"
        return f"assemble {kind} for {names}; entrypoint {' '.join(self.settings.entrypoint)}"


class Tag(NamedTuple):
    """Name the image in the local store."""

    reference: Reference

    def describe(self) -> str:
        """Say it in one line."""
        return f"tag {self.reference.familiar()}"


Operation = Compile | TakeModule | Optimize | Pack | Assemble | Tag


class Plan(NamedTuple):
    """A whole build, in order; `folder` is what the project file's paths are relative to."""

    folder: Path
    source: Compile | TakeModule
    optimize: Optimize | None
    pack: Pack
    assemble: Assemble
    tags: tuple[Tag, ...]

    def operations(self) -> tuple[Operation, ...]:
        """List the operations in the order in which they are done."""
        optional = () if self.optimize is None else (self.optimize,)
        return (self.source, *optional, self.pack, self.assemble, *self.tags)
