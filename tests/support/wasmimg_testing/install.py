"""Roots of machines to install into: a folder with an engine's program, and what a user had there."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DAEMON_JSON = "etc/docker/daemon.json"
#: as a user wrote it: key order, numbers and line breaks that no JSON library would keep
USERS = b'{\n    "log-opts": {"max-size": "10m",   "max-file": "3"},\n    "mtu": 1.4e3,\n    "dns": [ "9.9.9.9" ]\n}\n'
LAUNCHERS = tuple(
    f"usr/local/bin/containerd-shim-{n}-v1" for n in ("wasmimg", "wasmedge", "wasmtime")
)


def make_root(folder: Path, *, daemon_json: bytes | None = USERS) -> Path:
    """Make a root with Docker's program and perhaps a configuration."""
    for name in ("usr/bin", "usr/local/bin", "etc/docker", "var/lib"):
        (folder / name).mkdir(parents=True)
    for program in ("dockerd", "python3"):
        (folder / "usr/bin" / program).touch(mode=0o755)
    if daemon_json is not None:
        (folder / DAEMON_JSON).write_bytes(daemon_json)
        (folder / DAEMON_JSON).chmod(0o640)
    return folder


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Read everything below a folder: path -> permissions and content, or a link's target."""
    found: dict[str, tuple[int, bytes]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = f"{folder}/{name}"
            status = os.lstat(path)
            content = b""
            if stat.S_ISLNK(status.st_mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, root)] = (status.st_mode, content)
    return found
