"""Where a container's things are: every path and name follows from the home and the id."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_images.home import Home


class Places(NamedTuple):
    """The paths and names of one container."""

    home: Home
    container: str

    @property
    def folder(self) -> Path:
        """What lasts: record, log, writable layer."""
        return self.home.containers / self.container

    @property
    def bundle(self) -> Path:
        """What goes with a reboot, given to the shim."""
        return self.home.run / "bundles" / self.container

    @property
    def rootfs(self) -> Path:
        """Where the root filesystem is mounted."""
        return self.bundle / "rootfs"

    @property
    def streams(self) -> Path:
        """The FIFOs of a container in the foreground."""
        return self.bundle / "streams"

    @property
    def namespace(self) -> Path:
        """Where the network namespace is held."""
        return self.home.run / "netns" / self.container

    @property
    def log(self) -> Path:
        """The append-only file that both of its streams end in."""
        return self.folder / "log"

    @property
    def cgroup(self) -> str:
        """Its control group, right below the hierarchies' roots.

        A folder for all of them could not be removed without a race against the next start.
        """
        return f"/wasmimg-{self.container}"
