"""Where wasmimg keeps its files.

Nothing here touches the disk: a Home is a value, directories are made by those who write to them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Home(NamedTuple):
    """The three roots: lasting data, files that go with a reboot, and what can be made again."""

    data: Path
    run: Path
    cache: Path

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, uid: int | None = None) -> Home:
        """Take WASMIMG_HOME, WASMIMG_RUN and WASMIMG_CACHE, else the system's places.

        Root's are below /var and /run; other users' follow the XDG base directory specification.
        """
        uid = os.getuid() if uid is None else uid
        if uid == 0:
            data, run, cache = "/var/lib/wasmimg", "/run/wasmimg", "/var/cache/wasmimg"
        else:
            user_home = environ.get("HOME", "/")
            data = f"{environ.get('XDG_DATA_HOME') or f'{user_home}/.local/share'}/wasmimg"
            run = f"{environ.get('XDG_RUNTIME_DIR') or f'/tmp/wasmimg-{uid}'}/wasmimg"
            cache = f"{environ.get('XDG_CACHE_HOME') or f'{user_home}/.cache'}/wasmimg"
        return cls(
            Path(environ.get("WASMIMG_HOME") or data),
            Path(environ.get("WASMIMG_RUN") or run),
            Path(environ.get("WASMIMG_CACHE") or cache),
        )

    @property
    def store(self) -> Path:
        """The OCI image layout that holds the local images."""
        return self.data / "store"

    @property
    def snapshots(self) -> Path:
        """Unpacked layers, shared read-only between containers."""
        return self.data / "snapshots"

    @property
    def containers(self) -> Path:
        """One folder a container: record, log, writable layer."""
        return self.data / "containers"

    @property
    def volumes(self) -> Path:
        """Named volumes, one folder each with the data in `_data`."""
        return self.data / "volumes"

    @property
    def code(self) -> Path:
        """Compiled modules."""
        return self.cache / "code"
