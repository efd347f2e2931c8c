"""Building an image: a request is planned, the plan is run, and the result is in the store."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_builder import image_files, known_imports, optimization
from wasmimg_builder.assemble import Settings, Shape, assemble, platforms
from wasmimg_builder.build_cache import BuildCache, Record, fingerprint
from wasmimg_builder.cargo import MANIFEST, discover
from wasmimg_builder.compilation import Compilation, compile_module, inputs_of, run_process
from wasmimg_builder.plan import Assemble, Compile, Optimize, Pack, Plan, Tag, TakeModule
from wasmimg_builder.projectfile import NAME, ProjectFile, read
from wasmimg_builder.toolchains.choice import choose, known
from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.reference import Reference
from wasmimg_images.tree import closure
from wasmimg_images.wasm import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from wasmimg_builder.compilation import Runner
    from wasmimg_images.layout import Store
    from wasmimg_images.spec import Descriptor

_SUFFIX: Final = ".wasm"
_MAX_MODULE: Final = 256 << 20


class Request(NamedTuple):
    """What the user asked for; `path` is a folder or a .wasm file."""

    path: Path
    tags: tuple[Reference, ...] = ()
    toolchain: str = "auto"
    bin: str | None = None
    shape: Shape = "index"
    fresh: bool = False
    optimize: bool = False


class Built(NamedTuple):
    """An image in the store; sizes in bytes, the layer's compressed."""

    descriptor: Descriptor
    references: tuple[Reference, ...]
    module_size: int
    layer_size: int
    toolchain: str
    cached: bool


class Builder:
    """Plans and runs builds into one store; messages go to `say`, the compiler's to `on_line`."""

    def __init__(
        self,
        store: Store,
        cache: Path,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        *,
        on_line: Callable[[str], None] | None = None,
        runner: Runner = run_process,
    ) -> None:
        self._store = store
        self._cache = cache
        self._environ = environ
        self._say = say
        self._on_line = on_line or say
        self._runner = runner
        self._epoch = _epoch(environ)

    def plan(self, request: Request) -> Plan:
        """Decide what to do, without doing any of it; raises what is wrong with the project."""
        folder, project = _project(request.path)
        source, name = self._source(request, folder, project)
        target = f"/{project.name or name}{_SUFFIX}"
        settings = self._settings(project, target)
        component = isinstance(source, TakeModule) and _is_component(source.path)
        tags = request.tags or (_default_tag(target),)
        return Plan(
            source,
            Optimize() if project.optimize or request.optimize else None,
            Pack(target, project.files),
            Assemble(
                settings,
                request.shape,
                platforms(component=component, shape=request.shape),
            ),
            tuple(Tag(reference) for reference in tags),
        )

    def build(self, request: Request) -> Built:
        """Plan and run; raises BuildFailed after the compiler's messages."""
        plan = self.plan(request)
        folder, _ = _project(request.path)
        with self._store.lease():
            if isinstance(plan.source, Compile):
                record, cached = self._compiled(plan, plan.source, folder)
            else:
                path = plan.source.path
                record = self._image(plan, folder, path, _read_module(path), "prebuilt")
                cached = False
            for tag in plan.tags:
                self._store.tag(tag.reference, record.image)
        references = tuple(tag.reference for tag in plan.tags)
        sizes = (record.module_size, record.layer_size)
        return Built(record.image, references, *sizes, record.toolchain, cached)

    def _source(
        self,
        request: Request,
        folder: Path,
        project: ProjectFile,
    ) -> tuple[Compile | TakeModule, str]:
        source = folder / project.source if project.source else request.path
        if source.is_file():
            return TakeModule(source), source.name.removesuffix(_SUFFIX)
        if not (source / MANIFEST).is_file():
            raise NotFound(
                f"{source} has no {MANIFEST}: nothing to build",
                hint=f"name a Cargo project or a .wasm file, here or as `source:` in {NAME}",
            )
        cargo = discover(source, wanted=request.bin or project.bin)
        choice = choose(request.toolchain, known(cargo.root, self._environ))
        return Compile(cargo, choice, request.fresh), cargo.binary.name

    def _settings(self, project: ProjectFile, target: str) -> Settings:
        title = target.removeprefix("/").removesuffix(_SUFFIX)
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
            epoch=self._epoch,
        )

    def _compiled(self, plan: Plan, source: Compile, folder: Path) -> tuple[Record, bool]:
        """Compile, unless the last build was of the same inputs and is all there."""
        cache = BuildCache(self._cache, source.project.root, source.project.binary.name)
        with _locked(cache.folder):
            last = None if source.fresh else cache.last()
            extra = tuple(Path(path) for path in last.extra) if last else ()
            now = self._fingerprint(plan, source, folder, extra)
            if last and last.fingerprint == now and self._complete(last.image):
                self._say(f"unchanged since the last build with {last.toolchain}")
                return last, True
            if source.fresh:
                cache.forget()
            self._say(source.describe())
            compilation = Compilation(
                source.project,
                source.choice.toolchain,
                cache.target,
                self._environ,
                self._epoch,
            )
            before = self._fingerprint(plan, source, folder, ())
            module = compile_module(compilation, self._runner, self._on_line)
            data = _read_module(module)
            record = self._image(plan, folder, module, data, source.choice.toolchain.name)
            extra = self._extra(source, inputs_of(compilation.dep_info))
            if before == self._fingerprint(plan, source, folder, ()):
                found = self._fingerprint(plan, source, folder, extra)
                outcome = record._replace(fingerprint=found, extra=tuple(map(str, extra)))
                cache.remember(outcome)
            return record, False

    def _image(
        self,
        plan: Plan,
        folder: Path,
        path: Path,
        data: bytes,
        toolchain: str,
    ) -> Record:
        """Check, optimize, pack and assemble a module."""
        function = plan.assemble.settings.entrypoint[0].partition("#")[2] or None
        module = inspect(data, path.name)
        known_imports.check_module(module, path.name, function=function)
        if plan.optimize is not None and module.kind == "core":
            self._say(plan.optimize.describe())
            output = self._cache / "build" / "optimized" / f"{os.getpid()}-{path.name}"
            try:
                data = optimization.optimize(
                    path,
                    output,
                    plan.optimize.level,
                    self._environ,
                    self._runner,
                    self._on_line,
                )
            finally:
                output.unlink(missing_ok=True)
        entries = image_files.collect(plan.pack.files, folder)
        layer = image_files.pack(self._store, data, plan.pack.target, entries, self._epoch)
        image = assemble(
            self._store,
            layer,
            plan.assemble.settings,
            component=module.kind == "component",
            shape=plan.assemble.shape,
        )
        return Record("", image, len(data), layer.descriptor.size, toolchain, ())

    def _fingerprint(
        self,
        plan: Plan,
        source: Compile,
        folder: Path,
        extra: tuple[Path, ...],
    ) -> str:
        toolchain = source.choice.toolchain
        facts = [
            toolchain.identity(),
            *toolchain.rustflags(),
            *toolchain.cargo_flags(),
            self._environ.get("RUSTFLAGS", ""),
            source.project.binary.name,
            plan.pack.target,
            repr(plan.assemble),
            repr(plan.optimize),
            repr([(file.target, file.source) for file in plan.pack.files]),
        ]
        entries = image_files.collect(plan.pack.files, folder)
        facts += [f"{entry.target} {entry.link}" for entry in entries]
        files = [entry.source for entry in entries if entry.source is not None]
        return fingerprint(
            facts,
            source.project.root,
            [*source.project.sources(), *files, *extra],
        )

    def _extra(self, source: Compile, listed: Sequence[Path]) -> tuple[Path, ...]:
        """Keep the compiler's inputs that are not the project's, the toolchain's or a registry's."""
        covered = set(source.project.sources())
        fixed = [*source.choice.toolchain.sources(), self._cache]
        fixed.append(Path(self._environ.get("CARGO_HOME") or Path.home() / ".cargo"))
        return tuple(
            path
            for path in listed
            if path not in covered and not any(path.is_relative_to(folder) for folder in fixed)
        )

    def _complete(self, image: Descriptor) -> bool:
        try:
            return all(self._store.has(blob.digest) for blob in closure(self._store, [image]))
        except NotFound:
            return False


def _project(path: Path) -> tuple[Path, ProjectFile]:
    """Find the project file, if there is one, and the folder that its paths are relative to."""
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    if path.is_file():
        return path.parent, ProjectFile()
    file = path / NAME
    return path, read(file) if file.exists() else ProjectFile()


def _is_component(path: Path) -> bool:
    return inspect(_read_module(path), path.name).kind == "component"


def _read_module(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MAX_MODULE:
        raise InvalidInput(f"{path} has {size} bytes: more than {_MAX_MODULE}")
    return path.read_bytes()


def _with_path(env: tuple[str, ...]) -> tuple[str, ...]:
    """Add a PATH: some engines put their own, with Linux's folders, into images that have none."""
    return env if any(pair.startswith("PATH=") for pair in env) else ("PATH=/", *env)


def _default_tag(target: str) -> Reference:
    name = target.removeprefix("/").removesuffix(_SUFFIX).lower()
    try:
        return Reference.parse(name)
    except InvalidInput as error:
        raise InvalidInput(f"{name!r} can't be an image's name", hint="give one with -t") from error


def _epoch(environ: Mapping[str, str]) -> int:
    """Read SOURCE_DATE_EPOCH (reproducible-builds.org); 1970 without it."""
    text = environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 33:
        raise InvalidInput(f"SOURCE_DATE_EPOCH={text!r} is no number of seconds")
    return int(text)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Let one build at a time work on a binary."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
