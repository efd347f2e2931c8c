"""wasm-opt (binaryen), for those who ask for it: smaller modules, more time, one more tool."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from wasmimg_builder.compilation import Command
from wasmimg_images.errors import BuildFailed, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from wasmimg_builder.compilation import Runner

#: What rustc's wasm32-wasip1 modules use; stripped ones no longer say so themselves.
_FEATURES: Final = (
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
)


def optimize(
    module: Path,
    output: Path,
    level: str,
    environ: Mapping[str, str],
    runner: Runner,
    on_line: Callable[[str], None],
) -> bytes:
    """Shrink a module; raises HostError without wasm-opt, BuildFailed if it refuses the module."""
    program = shutil.which("wasm-opt", path=environ.get("PATH"))
    if program is None:
        raise HostError("optimize: there is no wasm-opt here", hint="apt-get install binaryen")
    output.parent.mkdir(parents=True, exist_ok=True)
    command = Command(
        (program, level, *_FEATURES, str(module), "-o", str(output)),
        output.parent,
        {"PATH": environ.get("PATH", "")},
    )
    status = runner(command, on_line)
    if status:
        raise BuildFailed(f"wasm-opt failed on {module.name} (exit status {status})")
    return output.read_bytes()
