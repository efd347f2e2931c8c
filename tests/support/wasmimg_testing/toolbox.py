"""The guest that does as it is told (tests/guests/toolbox), compiled with Debian's toolchain."""

from __future__ import annotations

import os
from pathlib import Path

from wasmimg_builder.cargo import discover
from wasmimg_builder.compilation import Compilation, compile_module, run_process
from wasmimg_builder.toolchains.debian import DebianToolchain

PROJECT = Path(__file__).parents[2] / "guests/toolbox"
EPOCH_1980 = 315_532_800


def compiled(target: Path) -> bytes:
    """Compile it; `target` keeps what cargo makes, so that the next time takes a second."""
    project = discover(PROJECT, wanted=None)
    compilation = Compilation(project, DebianToolchain(), target, os.environ, EPOCH_1980)
    lines: list[str] = []
    return compile_module(compilation, run_process, lines.append).read_bytes()
