"""Mounts in Docker's short form: `[source:]target[:options]`.

Used by `wasmimg run -v` and `--tmpfs`, and by the `volumes` of a Compose file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from wasmimg_compose.container import Mount
from wasmimg_images.errors import InvalidInput

HINT: Final = "write [SOURCE:]TARGET[:ro|:rw], for example ./site:/srv:ro or data:/var/lib/mysql"
VOLUME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: Options that change nothing here: labels of SELinux, consistency hints of Docker Desktop.
IGNORED: Final = frozenset({"z", "Z", "cached", "delegated", "consistent", "rprivate", "private"})

#: What tmpfs(5) and mount(8) know, as far as Docker lets it through.
TMPFS_OPTION: Final = re.compile(
    r"(?:size|nr_blocks|nr_inodes)=[0-9]{1,18}[kKmMgG%]?|mode=[0-7]{1,4}|[ug]id=[0-9]{1,9}"
    r"|ro|rw|(?:no)?(?:exec|suid|dev|atime|diratime|relatime)|strictatime|sync|async|dirsync"
)


def parse_mount(text: str, base: Path) -> Mount:
    """Read one mount; a source with a slash, a dot or a tilde in front is a path from `base`.

    Raises InvalidInput for anything else. Nothing is looked up on the disk.
    """
    parts = text.split(":")
    match parts:
        case [target]:
            source, options = "", ""
        case [source, target]:
            options = ""
        case [source, target, options]:
            pass
        case _:
            raise InvalidInput(f"mount {text!r}: too many parts", hint=HINT)
    if not target.startswith("/"):
        raise InvalidInput(f"mount {text!r}: the target must be an absolute path", hint=HINT)
    read_only, further = _options(text, options)
    if source.startswith(("/", ".", "~")):
        return Mount("bind", host_path(source, base), target, read_only, further)
    if source and not VOLUME.fullmatch(source):
        raise InvalidInput(f"mount {text!r}: {source!r} is no volume name", hint=HINT)
    return Mount("volume", source, target, read_only, further)


def host_path(source: str, base: Path) -> str:
    """Make a path of the host absolute, without following links."""
    path = Path(source).expanduser() if source.startswith("~") else base / source
    return str(Path(*_normal(path.absolute().parts)))


def _normal(parts: tuple[str, ...]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if part == "..":
            del out[max(1, len(out) - 1) :]
        elif part != ".":
            out.append(part)
    return out


def _options(text: str, options: str) -> tuple[bool, tuple[str, ...]]:
    given = list(filter(None, options.split(",")))
    if "ro" in given and "rw" in given:
        raise InvalidInput(f"mount {text!r}: both ro and rw", hint=HINT)
    read_only = "ro" in given
    further: list[str] = []
    for option in given:
        if option in {"ro", "rw"}:
            continue
        if option == "nocopy":
            further.append(option)
        elif option not in IGNORED:
            raise InvalidInput(f"mount {text!r}: unknown option {option!r}", hint=HINT)
    return read_only, tuple(further)


def parse_tmpfs(text: str) -> Mount:
    """Read a tmpfs as `target[:options]`, the options as mount(8) has them (`size=64m`)."""
    target, _, options = text.partition(":")
    if not target.startswith("/"):
        raise InvalidInput(f"tmpfs {text!r}: the target must be an absolute path")
    chosen = tuple(filter(None, options.split(",")))
    if "ro" in chosen and "rw" in chosen:
        raise InvalidInput(f"tmpfs {text!r}: both ro and rw")
    for option in chosen:
        if not TMPFS_OPTION.fullmatch(option):
            raise InvalidInput(
                f"tmpfs {text!r}: unknown option {option!r}", hint="for example size=64m,mode=1777"
            )
    return Mount(
        "tmpfs", "", target, "ro" in chosen, tuple(o for o in chosen if o not in {"ro", "rw"})
    )
