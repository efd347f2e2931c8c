"""The mounts that make up a container's root: asked for in Create, taken away in Delete."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from wasmimg_shim.linux import libc, mount_options
from wasmimg_shim.linux.kernel import Kernel
from wasmimg_shim.linux.mounts import Bind, Filesystem
from wasmimg_shim.linux.root import Root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_shim.linux.mounts import Operation
    from wasmimg_shim.messages import Mount

FOLDER = "rootfs"
#: <sys/mount.h>
_UMOUNT_NOFOLLOW = 8


def plan(mounts: Sequence[Mount]) -> list[Operation]:
    """Plan the mounts, each over the one before, on the bundle's `rootfs` or a folder in it.

    Raises InvalidInput for options that can't be honoured.
    """
    return [_plan(mount) for mount in mounts]


def _plan(mount: Mount) -> Operation:
    options = mount_options.parse(mount.options)
    destination = os.path.normpath(f"/{FOLDER}/{mount.target}")
    if options.bind or mount.type == "bind":
        return Bind(mount.source, destination, options.recursive, options.top, options.below)
    return Filesystem(
        mount.type, mount.source, destination, options.top, options.below, options.data
    )


def mount_all(bundle: str, mounts: Sequence[Mount]) -> None:
    """Make the mounts; nothing is left mounted if one fails."""
    if not mounts:
        return
    operations = plan(mounts)
    fd = os.open(bundle, libc.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for operation in operations:
            operation.execute(Root(fd), Kernel())
    except BaseException:
        unmount(bundle)
        raise
    finally:
        os.close(fd)


def unmount(bundle: str) -> None:
    """Take away everything that is mounted on the bundle's root folder, however often.

    Detached: whoever still has a file open there keeps it.
    """
    while True:
        try:
            libc.umount2(f"{bundle}/{FOLDER}", libc.MNT_DETACH | _UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:
                return
            raise
