"""The words of mount(8) that bundles use, as attributes of mounts; parsing only.

Source: runtime-spec, config.md "Linux mount options"; mount_setattr(2); mount_namespaces(7).
"""

from __future__ import annotations

from typing import NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import libc

_ATIME = libc.MOUNT_ATTR__ATIME

#: word -> (attributes to set, attributes to clear); with an `r` in front it holds recursively
ATTRIBUTES = {
    "ro": (libc.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, libc.MOUNT_ATTR_RDONLY),
    "nosuid": (libc.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, libc.MOUNT_ATTR_NOSUID),
    "nodev": (libc.MOUNT_ATTR_NODEV, 0),
    "dev": (0, libc.MOUNT_ATTR_NODEV),
    "noexec": (libc.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, libc.MOUNT_ATTR_NOEXEC),
    "nodiratime": (libc.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, libc.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (libc.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, libc.MOUNT_ATTR_NOSYMFOLLOW),
    # the three kinds of access times are one field of several bits: it is cleared before it is set
    "noatime": (libc.MOUNT_ATTR_NOATIME, _ATIME),
    "atime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
    "relatime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
    "norelatime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
    "strictatime": (libc.MOUNT_ATTR_STRICTATIME, _ATIME),
    "nostrictatime": (libc.MOUNT_ATTR_RELATIME, _ATIME),
}
PROPAGATION = {
    "private": libc.MS_PRIVATE,
    "shared": libc.MS_SHARED,
    "slave": libc.MS_SLAVE,
    "unbindable": libc.MS_UNBINDABLE,
}
#: flags of the file system itself, not of the mount
FILESYSTEM_FLAGS = frozenset({"sync", "dirsync", "lazytime", "mand", "iversion"})
#: what is so anyway, or asks for nothing
MEANINGLESS = frozenset(
    {"async", "defaults", "loud", "nolazytime", "nomand", "noiversion", "silent", "remount"}
)
UNSUPPORTED = frozenset({"idmap", "ridmap", "tmpcopyup"})


class Attributes(NamedTuple):
    """Changes of a mount's attributes (MOUNT_ATTR_*) and of its propagation (MS_*)."""

    set: int = 0
    clear: int = 0
    propagation: int = 0

    def __bool__(self) -> bool:
        return bool(self.set or self.clear or self.propagation)

    def change(self, more: tuple[int, int]) -> Attributes:
        """Apply a later word: it wins over earlier ones about the same attribute."""
        to_set, to_clear = more
        return self._replace(
            set=self.set & ~to_clear | to_set,
            clear=self.clear & ~to_set | to_clear,
        )


class MountOptions(NamedTuple):
    """A mount's options: `top` for the mount, `below` for it and all below it, `data` for the rest.

    `data` are (key, value) for the file system; a value of None is a flag.
    """

    bind: bool = False
    recursive: bool = False
    top: Attributes = Attributes()
    below: Attributes = Attributes()
    data: tuple[tuple[str, str | None], ...] = ()


def parse(words: tuple[str, ...]) -> MountOptions:
    """Read a mount's options; InvalidInput for those that this runtime can't honour."""
    options = MountOptions()
    for word in words:
        options = _with(options, word)
    return options


def _with(options: MountOptions, word: str) -> MountOptions:
    tail = word[1:]
    if word in {"bind", "rbind"}:
        return options._replace(bind=True, recursive=word == "rbind")
    if word in ATTRIBUTES:
        return options._replace(top=options.top.change(ATTRIBUTES[word]))
    if word in PROPAGATION:
        return options._replace(top=options.top._replace(propagation=PROPAGATION[word]))
    if word[:1] == "r" and tail in ATTRIBUTES:
        return options._replace(below=options.below.change(ATTRIBUTES[tail]))
    if word[:1] == "r" and tail in PROPAGATION:
        return options._replace(below=options.below._replace(propagation=PROPAGATION[tail]))
    if word in UNSUPPORTED:
        raise InvalidInput(f"mount option {word!r} is not supported")
    if word in MEANINGLESS or not word:
        return options
    key, equals, value = word.partition("=")
    return options._replace(data=(*options.data, (key, value if equals else None)))
