"""What a file has beside its content: from an archive's entry or a file, onto an open file."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Mapping

_XATTR: Final = "SCHILY.xattr."
_MAX_ID: Final = (1 << 32) - 2
_MAX_NS: Final = (1 << 63) - 1


class Metadata(NamedTuple):
    """What a file has beside its content; times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: Mapping[str, bytes]

    @classmethod
    def of_entry(cls, entry: tarfile.TarInfo) -> Metadata:
        """Take an archive entry's; raises InvalidInput for ids that no system has."""
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
            raise InvalidInput(f"{entry.name!r}: owner {entry.uid}:{entry.gid} does not exist")
        try:
            mtime = min(max(int(float(entry.mtime) * 1e9), 0), _MAX_NS)
        except (ValueError, OverflowError):
            mtime = 0
        return cls(entry.mode & 0o7777, entry.uid, entry.gid, mtime, _xattrs(entry))

    @classmethod
    def of_file(cls, fd: int) -> Metadata:
        """Take an open file's."""
        found = os.fstat(fd)
        mode = stat.S_IMODE(found.st_mode)
        return cls(mode, found.st_uid, found.st_gid, found.st_mtime_ns, {})

    def apply(self, fd: int) -> None:
        """Give it to an open file; ownership only as root, and before the mode, which it clears."""
        if os.geteuid() == 0:
            os.fchown(fd, self.uid, self.gid)
        os.fchmod(fd, self.mode)
        for name, value in self.xattrs.items():
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno not in {errno.ENOTSUP, errno.EPERM}:
                    raise
        os.utime(fd, ns=(self.mtime, self.mtime))


def _xattrs(entry: tarfile.TarInfo) -> dict[str, bytes]:
    """Read extended attributes; `trusted.*` and overlayfs's own would forge layers, so they go."""
    return {
        key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
        for key, value in entry.pax_headers.items()
        if key.startswith((f"{_XATTR}user.", f"{_XATTR}security.capability"))
        and not key.startswith(f"{_XATTR}user.overlay.")
    }
