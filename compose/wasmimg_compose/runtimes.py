"""What `--runtime` and a Compose file's `runtime:` mean here: which engine runs a Wasm image."""

from __future__ import annotations

from typing import Final, NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.start import ENGINES

DEFAULT: Final = ENGINES[0]
#: The engines that the shim of this release has an adapter for.
AVAILABLE: Final = frozenset(ENGINES)
KNOWN: Final = frozenset({"wasmtime", "wasmedge"})
#: Names that leave the choice to us; runc and crun say that the image is a Linux one.
NEUTRAL: Final = frozenset({"", "wasmimg", "runc", "crun"})


class Runtime(NamedTuple):
    """The engine to use, and what to tell the user about the choice."""

    engine: str
    warning: str | None = None


def choose(name: str | None) -> Runtime:
    """Read `wasmtime`, `io.containerd.wasmedge.v1` and the like; InvalidInput for others."""
    asked = name or ""
    if asked.startswith("io.containerd.") and asked.count(".") >= 3:  # noqa: PLR2004 - io.containerd.NAME.VERSION
        asked = asked.split(".")[2]
    if asked in NEUTRAL:
        return Runtime(DEFAULT)
    if asked in AVAILABLE:
        return Runtime(asked)
    if asked in KNOWN:
        return Runtime(DEFAULT, f"runtime {name}: {asked} is not installed, {DEFAULT} runs it")
    raise InvalidInput(
        f"runtime {name!r} is not known",
        hint=f"there are: {', '.join(sorted((KNOWN | NEUTRAL) - {''}))}",
    )
