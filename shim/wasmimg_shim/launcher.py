"""The small scripts that are installed as containerd-shim-wasmimg-v1.

`-I -S -E` and a search path written down spare the start verb site's search (10 ms of 20), and keep
the caller's environment and working directory (a container's bundle) out of what is imported.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import wasmimg_images.errors
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Linux, binfmt_script: the longest first line that is read.
_SHEBANG_MAX = 255
_VERSION = sys.version_info[:2]
_IMAGES = wasmimg_images.errors.__file__


def text(python: str, paths: Sequence[str]) -> str:
    """Return a launcher: `python` is an absolute path, `paths` are searched for modules in order.

    Raises InvalidInput for an interpreter whose path no first line can hold.
    """
    first = f"#!{python} -ISE"
    if not python.startswith("/") or len(first) > _SHEBANG_MAX or any(c.isspace() for c in python):
        raise InvalidInput(
            f"{python}: not usable in the first line of a script",
            hint="install wasmimg for an interpreter with a shorter path without spaces",
        )
    return (
        f"{first}\n"
        "# containerd-shim-wasmimg-v1, made by wasmimg\n"
        "import os\nimport sys\n\n"
        # After the standard library: nothing hides it, and what comes first is found first.
        f"sys.path += {list(paths)!r}\n"
        "from wasmimg_shim.main import main\n\n"
        # Nothing waits in a buffer, and to take everything apart costs more than a millisecond.
        "os._exit(main())\n"
    )


def own_paths() -> list[str]:
    """Return the folders in which this interpreter finds our packages and what they need."""
    stdlib = os.path.dirname(os.path.abspath(os.__file__))
    lib = os.path.dirname(stdlib)
    own = {stdlib, f"{stdlib}/lib-dynload", f"{lib}/python{''.join(map(str, _VERSION))}.zip"}
    packages = [os.path.dirname(os.path.dirname(os.path.abspath(f))) for f in (__file__, _IMAGES)]
    found = [os.path.abspath(path) for path in sys.path if path and os.path.isdir(path)]
    return [path for path in dict.fromkeys([*packages, *found]) if path not in own]


def write(path: str, content: str) -> None:
    """Put a launcher at `path`, executable, in one step."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(content)
            os.fchmod(fd, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
