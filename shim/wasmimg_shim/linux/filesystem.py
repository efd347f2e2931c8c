"""The plan of a container's file system: which operations, in which order. Pure.

Source: runtime-spec, config-linux.md "Default Filesystems", "Default Devices", "Dev symbolic links".
"""

from __future__ import annotations

import os
import stat

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import libc, mount_options
from wasmimg_shim.linux.mounts import (
    Bind,
    CgroupTree,
    Filesystem,
    Mask,
    Operation,
    ReadOnly,
    Seal,
)
from wasmimg_shim.linux.nodes import Directory, Link, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_shim.spec import Device, Mount, Spec

#: path -> (major, minor); config-linux.md "Default Devices"
DEFAULT_DEVICES = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}
LINKS = (
    Link("/dev/fd", "/proc/self/fd"),
    Link("/dev/stdin", "/proc/self/fd/0"),
    Link("/dev/stdout", "/proc/self/fd/1"),
    Link("/dev/stderr", "/proc/self/fd/2"),
    Link("/dev/ptmx", "pts/ptmx"),
)
KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def plan(
    spec: Spec, bundle: str, hierarchies: tuple[tuple[str, str], ...]
) -> tuple[Operation, ...]:
    """List what makes the bundle's root directory into the container's.

    Args:
        spec: the configuration.
        bundle: the folder that relative sources of bind mounts start from.
        hierarchies: the container's cgroups on the host, as (name, folder); one named "" is the
            single hierarchy of version 2.

    Raises InvalidInput for mounts and devices that can't be made.
    """
    return (
        *_mounts(spec, bundle, hierarchies),
        Directory(spec.process.cwd),
        *_late_seals(spec),
        *(ReadOnly(path) for path in spec.linux.readonly_paths),
        *(Mask(path) for path in spec.linux.masked_paths),
        *((Seal("/"),) if spec.root_readonly else ()),
    )


def _mounts(
    spec: Spec, bundle: str, hierarchies: tuple[tuple[str, str], ...]
) -> Iterator[Operation]:
    """List the mounts, and what is made in /dev as soon as that is mounted.

    A later mount may cover /dev, also through a link of the image's: what is made then would be
    made in a folder of the host. Where /dev itself is bound, it is the host's to fill (as in runc).
    """
    mounts = [(_is_dev(mount), _mount(mount, bundle, hierarchies)) for mount in spec.mounts]
    nodes = list(_devices(spec.linux.devices))
    inside: list[Operation] = [*(node for node in nodes if node.path.startswith("/dev/")), *LINKS]
    if any(is_dev and isinstance(operation, Bind) for is_dev, operation in mounts):
        inside.clear()
    for is_dev, operation in mounts:
        yield operation
        if is_dev:
            yield from inside
            inside.clear()
    yield from inside
    yield from (node for node in nodes if not node.path.startswith("/dev/"))


def _is_dev(mount: Mount) -> bool:
    return os.path.normpath("/" + mount.destination.lstrip("/")) == "/dev"


def _mount(mount: Mount, bundle: str, hierarchies: tuple[tuple[str, str], ...]) -> Operation:
    # As a lexical path: `..` in a destination never climbs, and what is a link is left to Root.
    destination = os.path.normpath("/" + mount.destination.lstrip("/"))
    if destination == "/":
        raise InvalidInput(f"mount on {mount.destination!r}: that is the root itself")
    try:
        options = mount_options.parse(mount.options)
    except InvalidInput as error:
        raise InvalidInput(f"mount on {destination}: {error.message}") from None
    if options.bind or mount.type in {"bind", "rbind"}:
        if not mount.source:
            raise InvalidInput(f"mount on {destination}: a bind mount needs a source")
        source = os.path.join(bundle, mount.source)
        recursive = options.recursive or mount.type == "rbind"
        return Bind(source, destination, recursive, options.top, options.below)
    if mount.type == "cgroup":
        if [name for name, _ in hierarchies] == [""]:
            return Bind(hierarchies[0][1], destination, top=options.top)
        return CgroupTree(destination, hierarchies, options.top)
    if not mount.type:
        raise InvalidInput(f"mount on {destination}: neither a type nor `bind`")
    top = options.top
    if destination == "/dev":
        top = top._replace(set=top.set & ~libc.MOUNT_ATTR_RDONLY)
    return Filesystem(mount.type, mount.source, destination, top, options.below, options.data)


def _late_seals(spec: Spec) -> Iterator[Operation]:
    """A read-only /dev can be sealed only after the devices have been made in it."""
    for mount in spec.mounts:
        if _is_dev(mount) and mount.type not in {"bind", "rbind"}:
            options = mount_options.parse(mount.options)
            if not options.bind:
                # the same attribute that the mount itself was made without
                yield Seal("/dev", options.top)


def _devices(devices: tuple[Device, ...]) -> Iterator[Node]:
    given = {os.path.normpath(device.path) for device in devices}
    for path, (major, minor) in DEFAULT_DEVICES.items():
        if path not in given:
            yield Node(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for device in devices:
        kind = KINDS.get(device.type)
        if kind is None:
            raise InvalidInput(f"device {device.path}: unknown type {device.type!r}")
        number = 0 if device.type == "p" else os.makedev(device.major, device.minor)
        mode = kind | (device.file_mode & 0o7777)
        yield Node(os.path.normpath(device.path), mode, number, device.uid, device.gid)


def propagation(word: str) -> int:
    """Turn `rootfsPropagation` into flags for mount(2); 0 keeps what init has set up."""
    if not word:
        return 0
    recursive = libc.MS_REC if word[:1] == "r" else 0
    flags = mount_options.PROPAGATION.get(word[1:] if recursive else word)
    if flags is None:
        raise InvalidInput(f"rootfsPropagation {word!r} is unknown")
    return flags | recursive
