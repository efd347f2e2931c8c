"""The real `MountCalls`: each is a call or three of `libc`."""

# ruff: noqa: D402 - the manual's name of a call, mount(2), looks like a signature
from __future__ import annotations

import os

from wasmimg_shim.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.linux.mount_options import Attributes


class Kernel:
    """What `mounts.MountCalls` promises, done by the running kernel."""

    def clone(self, source: str, *, recursive: bool) -> int:
        """open_tree(2) by path."""
        flags = libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if recursive else 0)
        return libc.open_tree(libc.AT_FDCWD, source, flags)

    def clone_at(self, place: int) -> int:
        """open_tree(2) by descriptor."""
        flags = libc.OPEN_TREE_CLONE | libc.AT_RECURSIVE | libc.AT_EMPTY_PATH
        return libc.open_tree(place, "", flags)

    def filesystem(self, kind: str, options: tuple[tuple[str, str | None], ...]) -> int:
        """fsopen(2), fsconfig(2), fsmount(2)."""
        context = libc.fsopen(kind)
        try:
            for key, value in options:
                command = libc.FSCONFIG_SET_FLAG if value is None else libc.FSCONFIG_SET_STRING
                libc.fsconfig(context, command, key, value)
            libc.fsconfig(context, libc.FSCONFIG_CMD_CREATE)
            return libc.fsmount(context, 0)
        finally:
            os.close(context)

    def change(self, mount: int, attributes: Attributes, *, recursive: bool) -> None:
        """mount_setattr(2)."""
        flags = libc.AT_RECURSIVE if recursive else 0
        to_set, to_clear, propagation = attributes
        libc.mount_setattr(mount, flags, to_set, to_clear, propagation)

    def attach(self, mount: int, place: int, path: str) -> None:
        """move_mount(2)."""
        libc.move_mount(mount, place, path)

    def mount(self, kind: str, source: str, place: int, data: str) -> None:
        """mount(2) on a place that only this process's procfs entry names."""
        libc.mount(source, f"/proc/self/fd/{place}", kind, 0, data)

    def make_node(self, directory: int, name: str, mode: int, device: int) -> None:
        """mknodat(2); init's umask is 0."""
        os.mknod(name, mode, device, dir_fd=directory)

    def in_procfs(self, place: int) -> bool:
        """fstatfs(2)."""
        return libc.filesystem_type(place) == libc.PROC_SUPER_MAGIC
