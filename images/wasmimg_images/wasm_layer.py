"""Wasm modules that are layers themselves: images without files, and the CNCF's Wasm artifact.

Sources: runwasi's oci-tar-builder (images), CNCF TAG Runtime, wasm-oci-artifact (artifacts). We
read them; what we write by default has its module in a file.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmimg_images.spec import Descriptor

WASM_CONFIG: Final = "application/vnd.wasm.config.v0+json"
WASM_LAYER: Final = "application/wasm"
#: all that tools have written: wkg and oras; runwasi; wasm-to-oci and Spin; wasmCloud
WASM_LAYERS: Final = frozenset(
    {
        WASM_LAYER,
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.module.wasm.content.layer.v1+wasm",
    }
)
ANNOTATION_TITLE: Final = "org.opencontainers.image.title"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
#: <linux/limits.h>, NAME_MAX
_LONGEST: Final = 255
#: what a module is called that nobody has given a name
_NAMELESS: Final = "app.wasm"


def file_name(layer: Descriptor) -> str:
    """Name a module as its maker did, if that is a plain file name."""
    title = posixpath.basename(layer.annotations.get(ANNOTATION_TITLE, ""))
    return title if _PLAIN.fullmatch(title) else _NAMELESS


def place(word: str, working_dir: str) -> str:
    """Say where an image's entrypoint looks for its module: an absolute path without links or dots.

    Raises InvalidInput for what is no path of a file.
    """
    path = "/" + posixpath.normpath(posixpath.join("/", working_dir, word)).lstrip("/")
    if path == "/" or "\0" in path or any(len(part) > _LONGEST for part in path.split("/")):
        raise InvalidInput(f"the entrypoint {word[:60]!r} is no path for a module")
    return path


def modules(layers: Iterable[Descriptor]) -> list[Descriptor]:
    """Leave the layers that are modules."""
    return [layer for layer in layers if layer.media_type in WASM_LAYERS]


def module_layer(layers: Iterable[Descriptor], word: str) -> Descriptor | None:
    """Pick the module that `word`, the start of a container's command, stands for.

    The only one is called whatever the command says, as in runwasi; of several it is the one of
    that name (InvalidInput where there is none). None if no layer is a module.
    """
    found = modules(layers)
    if len(found) < 2:  # noqa: PLR2004 -- none or one
        return found[0] if found else None
    named = [layer for layer in found if file_name(layer) == posixpath.basename(word)]
    if len(named) == 1:
        return named[0]
    names = ", ".join(map(file_name, found))
    raise InvalidInput(
        f"the image has {len(found)} modules as layers, none or several called {word}",
        hint=f"start the command with one of: {names}",
    )
