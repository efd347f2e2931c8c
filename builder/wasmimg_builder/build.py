"""Building an image: a request is planned, the plan is run, and the result is in the store."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_builder import image_files, known_imports, optimization
from wasmimg_builder.artifact import assemble_artifact
from wasmimg_builder.assemble import assemble
from wasmimg_builder.build_cache import BuildCache, Record
from wasmimg_builder.compilation import Compilation, compile_module, inputs_of, run_process
from wasmimg_builder.inputs import Inputs
from wasmimg_builder.plan import Compile
from wasmimg_builder.planning import Request, plan_build, read_module, source_date_epoch
from wasmimg_images.errors import NotFound
from wasmimg_images.tree import closure
from wasmimg_images.wasm import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from wasmimg_builder.compilation import Runner
    from wasmimg_builder.plan import Plan
    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.spec import Descriptor

__all__ = ["Builder", "Built", "Request"]


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
        self._epoch = source_date_epoch(environ)

    def plan(self, request: Request) -> Plan:
        """Decide what to do, without doing any of it; raises what is wrong with the project."""
        return plan_build(request, self._environ)

    def build(self, request: Request) -> Built:
        """Plan and run; raises BuildFailed after the compiler's messages."""
        plan = self.plan(request)
        with self._store.lease():
            if isinstance(plan.source, Compile):
                record, cached = self._compiled(plan, plan.source)
            else:
                record, cached = self._image(plan, plan.source.path, "prebuilt"), False
            for tag in plan.tags:
                self._store.tag(tag.reference, record.image)
        references = tuple(tag.reference for tag in plan.tags)
        sizes = (record.module_size, record.layer_size)
        return Built(record.image, references, *sizes, record.toolchain, cached)

    def _compiled(self, plan: Plan, source: Compile) -> tuple[Record, bool]:
        """Compile, unless the last build was of the same inputs and is all there."""
        cache = BuildCache(self._cache, source.project.root, source.project.binary.name)
        inputs = Inputs(plan, source, self._environ)
        with _locked(cache.folder, self._say):
            last = None if source.fresh else cache.last()
            if last is not None:
                now = inputs.fingerprint(Path(path) for path in last.extra)
                if last.fingerprint == now and self._complete(last.image):
                    self._say(f"unchanged since the last build with {last.toolchain}")
                    return last, True
            if source.fresh:
                cache.forget()
            return self._compile(plan, source, cache, inputs), False

    def _compile(self, plan: Plan, source: Compile, cache: BuildCache, inputs: Inputs) -> Record:
        """Compile and remember the outcome, unless an input was changed meanwhile."""
        self._say(source.describe())
        compilation = Compilation(
            source.project,
            source.choice.toolchain,
            cache.target,
            self._environ,
            self._epoch,
        )
        before = inputs.fingerprint()
        module = compile_module(compilation, self._runner, self._on_line)
        record = self._image(plan, module, source.choice.toolchain.name)
        extra = inputs.outside(inputs_of(compilation.dep_info), self._cache)
        if before == inputs.fingerprint():
            found = inputs.fingerprint(extra)
            cache.remember(record._replace(fingerprint=found, extra=tuple(map(str, extra))))
        return record

    def _image(
        self,
        plan: Plan,
        path: Path,
        toolchain: str,
    ) -> Record:
        """Check, optimize, pack and assemble a module."""
        data = read_module(path)
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
        if plan.pack.raw:
            name = plan.pack.target.removeprefix("/")
            epoch = plan.assemble.settings.epoch
            artifact = assemble_artifact(self._store, data, module, name, epoch)
            return Record("", artifact, len(data), len(data), toolchain, ())
        entries = image_files.collect(plan.pack.files, plan.folder)
        layer = image_files.pack(self._store, data, plan.pack.target, entries, self._epoch)
        image = assemble(
            self._store,
            layer,
            plan.assemble.settings,
            component=module.kind == "component",
            shape=plan.assemble.shape,
        )
        return Record("", image, len(data), layer.descriptor.size, toolchain, ())

    def _complete(self, image: Descriptor) -> bool:
        try:
            return all(self._store.has(blob.digest) for blob in closure(self._store, [image]))
        except NotFound:
            return False


@contextmanager
def _locked(folder: Path, say: Callable[[str], None]) -> Generator[None]:
    """Let one build at a time work on a binary."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build of the same program")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
