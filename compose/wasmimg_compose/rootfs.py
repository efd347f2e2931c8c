"""A container's root filesystem: an overlay of the image's layers and a writable layer of its own."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import kernel
from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: mount(2) takes one page of options.
LONGEST_OPTIONS: Final = 4095


class Rootfs(NamedTuple):
    """Where it is mounted, and where the writable layer is kept."""

    mountpoint: Path
    kept: Path

    def mount(self, layers: Sequence[Path]) -> None:
        """Mount it over the layers, bottom first; HostError where the kernel refuses."""
        upper, work = self.kept / "upper", self.kept / "work"
        make_private(self.mountpoint.parent)
        for folder in (upper, work, self.mountpoint):
            folder.mkdir(parents=True, exist_ok=True)
        empty = self.kept / "empty"
        if not layers:
            empty.mkdir(exist_ok=True)
        lower = ":".join(_escape(layer) for layer in reversed(layers or [empty]))
        options = f"lowerdir={lower},upperdir={_escape(upper)},workdir={_escape(work)}"
        if len(options) > LONGEST_OPTIONS:
            raise HostError(
                f"{len(layers)} layers have too long paths for one mount",
                hint="set WASMIMG_HOME to a shorter path",
            )
        try:
            kernel.mount("overlay", self.mountpoint, "overlay", kernel.MS_NODEV, options)
        except OSError as error:
            raise HostError(
                f"{self.kept}: can't mount an overlay there: {error.strerror}",
                hint="set WASMIMG_HOME to a folder on ext4, xfs or tmpfs; containers need root",
            ) from error

    def unmount(self) -> None:
        """Unmount it, as often as it is mounted."""
        while kernel.unmount(self.mountpoint):
            pass
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.mountpoint.rmdir()

    def make_folder(self, path: str, uid: int, gid: int) -> None:
        """Make a folder and those above it, owned by the container's user, if they are missing."""
        if not path.startswith("/"):
            raise InvalidInput(f"working directory {path!r} is not absolute")
        above = ""
        for part in [part for part in path.split("/") if part not in {"", "."}]:
            folder = self._open(above or "/")
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                    os.chown(part, uid, gid, dir_fd=folder, follow_symlinks=False)
            finally:
                os.close(folder)
            above = f"{above}/{part}"

    def _open(self, path: str) -> int:
        try:
            return kernel.open_below(self.mountpoint, path, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise InvalidInput(f"{path}: {error.strerror} in the image") from error


def _escape(path: Path) -> str:
    """Protect what separates options and layers with a backslash, as overlayfs reads it."""
    return str(path).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
