"""A wrapper around rustc that takes a project's place on disk out of its symbols.

Cargo derives `-C metadata`, which symbols are mangled with, from a local package's path: absolute,
where the package is outside the workspace. Name and version tell local packages apart as well.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_LOCAL: Final = "WASMIMG_LOCAL_PACKAGES"
_SCRIPT: Final = """\
#!/bin/sh
# rustc, with metadata that does not depend on where a local package is.
case "|$WASMIMG_LOCAL_PACKAGES|" in
*"|${CARGO_MANIFEST_DIR:-none}|"*)
    left=$#
    while [ "$left" -gt 0 ]; do
        argument=$1
        shift
        case $argument in
        metadata=*) argument="metadata=$CARGO_PKG_NAME-$CARGO_PKG_VERSION" ;;
        esac
        set -- "$@" "$argument"
        left=$((left - 1))
    done
    ;;
esac
exec "$@"
"""


def install(folder: Path, packages: Iterable[Path]) -> Mapping[str, str]:
    """Put the wrapper into a folder; gives the variables that make cargo use it for `packages`."""
    target = folder / "rustc-wrapper"
    if not target.exists() or target.read_text() != _SCRIPT:
        partial = folder / f".{uuid.uuid4().hex}"
        partial.write_text(_SCRIPT)
        partial.chmod(0o755)
        partial.rename(target)
    return {
        "RUSTC_WRAPPER": str(target),
        _LOCAL: "|".join(os.fspath(package) for package in packages),
    }
