"""From what a user asked for and what the project says to a plan; nothing is run or written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_builder.assemble import Settings, Shape, platforms
from wasmimg_builder.cargo import MANIFEST, discover
from wasmimg_builder.plan import Assemble, Compile, Optimize, Pack, Plan, Tag, TakeModule
from wasmimg_builder.projectfile import NAME, ProjectFile, read
from wasmimg_builder.toolchains.choice import choose, known
from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.reference import Reference
from wasmimg_images.wasm import inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX: Final = ".wasm"
_MAX_MODULE: Final = 256 << 20
_MAX_EPOCH: Final = 1 << 33


class Request(NamedTuple):
    """What the user asked for; `path` is a folder or a .wasm file."""

    path: Path
    tags: tuple[Reference, ...] = ()
    toolchain: str = "auto"
    bin: str | None = None
    shape: Shape = "index"
    fresh: bool = False
    optimize: bool = False


def plan_build(request: Request, environ: Mapping[str, str]) -> Plan:
    """Decide what to do; raises what is wrong with the project or missing on this machine."""
    folder, project = _project(request.path)
    source, name = _source(request, folder, project, environ)
    if request.shape == "artifact" and project.files:
        raise InvalidInput(
            f"{folder / NAME}: an artifact has no place for `files`",
            hint="leave them out, or build an image: --shape index",
        )
    target = f"/{project.name or name}{SUFFIX}"
    settings = _settings(project, target, source_date_epoch(environ))
    component = isinstance(source, TakeModule) and _is_component(source.path)
    tags = request.tags or (_default_tag(target),)
    listed = platforms(component=component, shape=request.shape)
    return Plan(
        folder,
        source,
        Optimize() if project.optimize or request.optimize else None,
        Pack(target, project.files, raw=request.shape == "artifact"),
        Assemble(settings, request.shape, listed),
        tuple(Tag(reference) for reference in tags),
    )


def source_date_epoch(environ: Mapping[str, str]) -> int:
    """Read SOURCE_DATE_EPOCH (reproducible-builds.org) in seconds; 1970 without it."""
    text = environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isascii() or not text.isdigit() or int(text) >= _MAX_EPOCH:
        raise InvalidInput(f"SOURCE_DATE_EPOCH={text!r} is no number of seconds")
    return int(text)


def read_module(path: Path) -> bytes:
    """Read a module from disk; raises InvalidInput for one that can't be meant."""
    size = path.stat().st_size
    if size > _MAX_MODULE:
        raise InvalidInput(f"{path} has {size} bytes: more than {_MAX_MODULE}")
    return path.read_bytes()


def _project(path: Path) -> tuple[Path, ProjectFile]:
    """Find the project file, if there is one, and the folder that its paths are relative to."""
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    if path.is_file():
        return path.parent, ProjectFile()
    file = path / NAME
    return path, read(file) if file.exists() else ProjectFile()


def _source(
    request: Request,
    folder: Path,
    project: ProjectFile,
    environ: Mapping[str, str],
) -> tuple[Compile | TakeModule, str]:
    source = folder / project.source if project.source else request.path
    if source.is_file():
        return TakeModule(source), source.name.removesuffix(SUFFIX)
    if not (source / MANIFEST).is_file():
        raise NotFound(
            f"{source} has no {MANIFEST}: nothing to build",
            hint=f"name a Cargo project or a .wasm file, here or as `source:` in {NAME}",
        )
    cargo = discover(source, wanted=request.bin or project.bin)
    choice = choose(request.toolchain, known(cargo.root, environ))
    return Compile(cargo, choice, request.fresh), cargo.binary.name


def _settings(project: ProjectFile, target: str, epoch: int) -> Settings:
    title = target.removeprefix("/").removesuffix(SUFFIX)
    return Settings(
        entrypoint=project.entrypoint or (target,),
        args=project.args,
        env=_with_path(project.env),
        ports=project.ports,
        user=project.user,
        workdir=project.workdir,
        labels={"org.opencontainers.image.title": title, **project.labels},
        volumes=project.volumes,
        healthcheck=project.healthcheck,
        stop_signal=project.stop_signal,
        epoch=epoch,
    )


def _with_path(env: tuple[str, ...]) -> tuple[str, ...]:
    """Add a PATH: some engines put their own, with Linux's folders, into images that have none."""
    return env if any(pair.startswith("PATH=") for pair in env) else ("PATH=/", *env)


def _is_component(path: Path) -> bool:
    return inspect(read_module(path), path.name).kind == "component"


def _default_tag(target: str) -> Reference:
    name = target.removeprefix("/").removesuffix(SUFFIX).lower()
    try:
        return Reference.parse(name)
    except InvalidInput as error:
        raise InvalidInput(f"{name!r} can't be an image's name", hint="give one with -t") from error
