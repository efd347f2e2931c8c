"""The launchers that engines find on their PATH, and what is known about other files of their names."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_shim import launcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wasmimg_shim.install.rooted import Root

#: The runtimes' short names: containerd-shim-NAME-v1 is the program of io.containerd.NAME.v1.
OWN: Final = "wasmimg"
#: Names of other shims that published Compose files ask for; the name picks the engine.
DROP_INS: Final = ("wasmedge", "wasmtime")
MODE: Final = 0o755
#: What our launchers contain, and the script that pip makes for the same entry point.
_OURS: Final = b"from wasmimg_shim.main import main"


class Launcher(NamedTuple):
    """The text of a launcher; `exposed` lists what it runs that others than root could change."""

    text: bytes
    python: str
    exposed: tuple[str, ...]


def program(bin_dir: str, name: str) -> str:
    """Return the path of the launcher of a runtime."""
    return f"{bin_dir}/containerd-shim-{name}-v1"


def is_runtime(runtime: str) -> bool:
    """Tell whether a runtime's name, of Docker or containerd, means one of our launchers."""
    last = runtime.rpartition("/")[2]
    return any(
        last in {name, f"io.containerd.{name}.v1", f"containerd-shim-{name}-v1"}
        for name in (OWN, *DROP_INS)
    )


def is_ours(content: bytes) -> bool:
    """Tell whether a file starts our shim."""
    return content.startswith(b"#!") and _OURS in content


def is_launcher(content: bytes) -> bool:
    """Tell whether a file is a launcher, by the line that they all have."""
    return is_ours(content) and b"made by wasmimg\n" in content


def of_this_installation(root: Root) -> Launcher:
    """Make the launcher for this interpreter and its packages, as `root` will have them."""
    python, paths = sys.executable, launcher.own_paths()
    text = launcher.text(root.inside(python), [root.inside(path) for path in paths])
    return Launcher(text.encode(), root.inside(python), tuple(_exposed([python, *paths])))


def _exposed(paths: Iterable[str]) -> Iterator[str]:
    """Find what is writable by others than root: containerd runs the launcher as root."""
    seen: set[str] = set()
    for start in paths:
        path = os.path.realpath(start)
        while path not in seen:
            seen.add(path)
            found = os.stat(path)
            sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
            if found.st_uid != 0 or (found.st_mode & stat.S_IWOTH and not sticky):
                yield path
            path = os.path.dirname(path)
