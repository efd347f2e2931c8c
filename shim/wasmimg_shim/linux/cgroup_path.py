"""Where a container's cgroup lies: the two spellings of `cgroupsPath`. Pure.

Source: runtime-spec, config-linux.md "Cgroups Path"; runc's docs/systemd.md; systemd.slice(5).
"""

from __future__ import annotations

import os

#: where systemd's driver puts containers that name no slice
DEFAULT_SLICE = "system.slice"


def is_scope(path: str) -> bool:
    """Tell whether a `cgroupsPath` is one for systemd's driver: `slice:prefix:name`."""
    return path.count(":") == 2  # noqa: PLR2004 - between three parts


def cgroups_path(path: str, container_id: str) -> str:
    """Give the place of a container below each hierarchy's mount.

    An empty path becomes the container's id, below the runtime's own cgroup. The spelling of the
    systemd driver, `slice:prefix:name`, becomes the folder that systemd would give the scope.
    """
    slice_, colon, rest = path.partition(":")
    if colon:
        prefix, _, name = rest.partition(":")
        scope = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
        return os.path.join("/", _slice_path(slice_ or DEFAULT_SLICE), scope)
    return path or container_id


def _slice_path(name: str) -> str:
    """`a-b.slice` lies in `a.slice`, `-.slice` is the root (systemd.slice(5))."""
    parts = name.removesuffix(".slice").split("-")
    if parts == ["", ""]:
        return ""
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)))
