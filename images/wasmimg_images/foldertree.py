"""Walking a folder that is being filled from an untrusted archive, by directory handles only.

Every step opens one component with O_NOFOLLOW below the handle of the one before, so no name, link
or exchange of files leads out of the folder. Symbolic links met on the way are followed as in a
container: relative to the folder as root (openat2's RESOLVE_IN_ROOT, without needing the call).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

Parts = tuple[str, ...]
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS: Final = 40


def parts_of(name: str) -> Parts:
    """Split an archive's path; a leading slash means the root, `..` is refused."""
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise InvalidInput(f"{name!r} leads out of the image")
    if "\0" in name:
        raise InvalidInput(f"{name!r} has a NUL in its name")
    return parts


class FolderTree:
    """A folder, and handles on the chain of directories last used.

    `made(parts, fd)` is called for each directory that had to be made on the way to another.
    """

    def __init__(self, root: int, made: Callable[[Parts, int], None]) -> None:
        self._made = made
        self._names: list[str] = []
        self._handles = [os.dup(root)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            os.close(self._handles.pop())

    def directory(self, parts: Parts, *, make: bool = True) -> int:
        """Give a handle, good until the next call, on the directory; made if it is not there.

        Raises InvalidInput if a component is no directory, FileNotFoundError if it is not made.
        """
        links = 0
        waiting = list(reversed(parts))
        depth = 0
        while waiting:
            name = waiting.pop()
            if name == "..":
                depth = max(0, depth - 1)
                continue
            target = self._step(depth, name, make=make)
            if target is None:
                depth += 1
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"{'/'.join(parts)!r}: too many symbolic links")
            if target.startswith("/"):
                depth = 0
            waiting.extend(p for p in reversed(target.split("/")) if p not in {"", "."})
        self._cut(depth)
        return self._handles[depth]

    def _step(self, depth: int, name: str, *, make: bool) -> str | None:
        """Enter one component below the given depth; give a symbolic link's target instead."""
        if depth < len(self._names) and self._names[depth] == name:
            return None
        self._cut(depth)
        here = self._handles[depth]
        try:
            handle = os.open(name, _DIRECTORY, dir_fd=here)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(name, 0o700, dir_fd=here)
            handle = os.open(name, _DIRECTORY, dir_fd=here)
            self._enter(name, handle)
            self._made(tuple(self._names), handle)
            return None
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            with contextlib.suppress(OSError):
                return os.readlink(name, dir_fd=here)
            raise InvalidInput(f"{'/'.join([*self._names, name])!r} is no directory") from error
        self._enter(name, handle)
        return None

    def _enter(self, name: str, handle: int) -> None:
        self._names.append(name)
        self._handles.append(handle)

    def _cut(self, depth: int) -> None:
        while len(self._names) > depth:
            self._names.pop()
            os.close(self._handles.pop())

    @property
    def position(self) -> Parts:
        """Where the last directory really is: links on the way are resolved."""
        return tuple(self._names)


def remove(name: str, parent: int) -> None:
    """Delete what has this name, if anything, whatever it is; never follows links."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
