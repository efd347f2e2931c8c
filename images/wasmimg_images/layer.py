"""Unpacking a layer into a folder of its own, in the form that overlayfs stacks.

A layer is untrusted. Names can't leave the folder (foldertree), header sizes and the total are
limited, set-user-id bits, times and extended attributes are kept. Refused: `..`, absolute hard
links, and device nodes, which an image has no use for: a container's /dev is made by its runtime.
Whiteouts (image-spec, layer.md) become overlayfs's: a 0/0 character device for a deleted name,
`trusted.overlay.opaque` for a directory that hides what is below it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Final

from wasmimg_images.digest import CHUNK
from wasmimg_images.errors import HostError, InvalidInput, WasmimgError
from wasmimg_images.foldertree import FolderTree, Parts, parts_of, remove
from wasmimg_images.metadata import Metadata
from wasmimg_images.tarstream import entries

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path
    from typing import Self

    from wasmimg_images.digest import Readable

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(tar: Readable, target: Path, *, lower: Sequence[Path] = (), limit: int) -> None:
    """Unpack an uncompressed layer into an empty folder.

    `lower` are the layers below, topmost first: a directory that the layer implies but does not
    hold gets its metadata from there. `limit` is the most bytes that files may have together.
    Raises InvalidInput naming the entry; HostError for a full disk or a missing right.
    """
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _Unpacking(root, lower, limit) as unpacking:
            for entry, content in entries(tar):
                unpacking.add(entry, content)
            unpacking.finish()
    finally:
        os.close(root)


class _Unpacking:
    """One layer on its way to disk."""

    def __init__(self, root: int, lower: Sequence[Path], limit: int) -> None:
        self._lower = lower
        self._left = limit
        #: Directories get their metadata last: adding files to them changes times and needs rights.
        self._directories: dict[Parts, Metadata] = {}
        self._tree = FolderTree(root, self._implied)
        self._implied((), root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.__exit__()

    def _implied(self, parts: Parts, fd: int) -> None:
        del fd
        self._directories[parts] = Metadata(0o755, 0, 0, 0, {})
        for layer in self._lower:
            with contextlib.suppress(OSError), _inside(layer, parts) as found:
                self._directories[parts] = Metadata.of_file(found)
                return

    def add(self, entry: tarfile.TarInfo, content: Readable | None) -> None:
        """Add one entry."""
        try:
            self._add(entry, content)
        except InvalidInput as error:
            named = entry.name in error.message
            raise error if named else InvalidInput(f"{entry.name!r}: {error.message}") from error
        except OSError as error:
            raise _explained(error, entry.name) from error
        except (ValueError, OverflowError) as error:
            raise InvalidInput(f"{entry.name!r}: {error}") from error

    def _add(self, entry: tarfile.TarInfo, content: Readable | None) -> None:
        parts = parts_of(entry.name)
        if not parts:
            if not entry.isdir():
                raise InvalidInput(f"{entry.name!r}: the root must be a directory")
            self._directories[()] = Metadata.of_entry(entry)
            return
        name = parts[-1]
        parent = self._tree.directory(parts[:-1])
        if name.startswith(_WHITEOUT):
            self._whiteout(name, parent)
        elif entry.isdir():
            self._directory(name, parent, Metadata.of_entry(entry))
        elif entry.isreg() and content is not None:
            remove(name, parent)
            self._file(name, parent, entry, content)
        elif entry.issym():
            remove(name, parent)
            self._symlink(name, parent, entry)
        elif entry.islnk():
            self._hard_link(name, parts[:-1], entry)
        elif entry.isfifo():
            remove(name, parent)
            os.mkfifo(name, dir_fd=parent)
            self._unopened(name, parent, Metadata.of_entry(entry))
        elif entry.isdev():
            raise InvalidInput(
                f"{entry.name!r} is a device node",
                hint="leave /dev out of images; containers get their own",
            )
        else:
            raise InvalidInput(f"{entry.name!r}: entries of type {entry.type!r} are not supported")

    def _file(self, name: str, parent: int, entry: tarfile.TarInfo, content: Readable) -> None:
        self._left -= entry.size
        if entry.size < 0 or self._left < 0:
            raise InvalidInput(f"{entry.name!r}: the layer's files are larger than it allows")
        fd = os.open(name, _WRITE, 0o600, dir_fd=parent)
        with open(fd, "wb") as sink:
            left = entry.size
            while data := content.read(CHUNK):
                sink.write(data)
                left -= len(data)
            if left:
                raise InvalidInput(f"{entry.name!r}: {left} bytes are missing")
            sink.flush()  # a later write would change the time and clear set-user-id
            Metadata.of_entry(entry).apply(fd)

    def _directory(self, name: str, parent: int, metadata: Metadata) -> None:
        position = (*self._tree.position, name)
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.mkdir(name, 0o700, dir_fd=parent)
        else:
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
                if stat.S_ISCHR(found.st_mode):  # deleted below and made anew here
                    self._opaque(name, parent)
        self._directories[position] = metadata

    def _symlink(self, name: str, parent: int, entry: tarfile.TarInfo) -> None:
        os.symlink(entry.linkname, name, dir_fd=parent)
        self._unopened(name, parent, Metadata.of_entry(entry), mode=False)

    def _unopened(self, name: str, parent: int, metadata: Metadata, *, mode: bool = True) -> None:
        """Give metadata to what can't be opened: links and FIFOs."""
        if os.geteuid() == 0:
            os.chown(name, metadata.uid, metadata.gid, dir_fd=parent, follow_symlinks=False)
        if mode:
            os.chmod(name, metadata.mode, dir_fd=parent)  # just made here, so it is no link
        times = (metadata.mtime, metadata.mtime)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def _hard_link(self, name: str, folder: Parts, entry: tarfile.TarInfo) -> None:
        if entry.linkname.startswith("/"):
            raise InvalidInput(f"{entry.name!r} is a hard link to {entry.linkname!r}: absolute")
        *others, last = parts_of(entry.linkname) or ("",)
        try:
            source = os.dup(self._tree.directory(tuple(others), make=False))
        except FileNotFoundError:
            raise _dangling(entry) from None
        try:
            if not _exists(last, source):
                raise _dangling(entry)
            parent = self._tree.directory(folder)
            if last == name and os.path.sameopenfile(source, parent):
                return
            remove(name, parent)
            os.link(last, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _whiteout(self, name: str, parent: int) -> None:
        if name == _OPAQUE:
            os.setxattr(parent, "trusted.overlay.opaque", b"y")
            return
        hidden = name.removeprefix(_WHITEOUT)
        if hidden.startswith(_WHITEOUT):
            return  # aufs's own files, in images of its time
        if hidden in {"", ".", ".."}:
            raise InvalidInput(f"{name!r} is no whiteout")
        try:
            found = os.stat(hidden, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
        else:
            # A whiteout speaks about the layers below; the same name made here stays.
            if stat.S_ISDIR(found.st_mode):
                self._opaque(hidden, parent)

    @staticmethod
    def _opaque(name: str, parent: int) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.setxattr(fd, "trusted.overlay.opaque", b"y")
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Give directories their metadata, inner ones first."""
        for parts in sorted(self._directories, key=len, reverse=True):
            with contextlib.suppress(FileNotFoundError, InvalidInput):
                fd = self._tree.directory(parts, make=False)
                if self._tree.position == parts:  # else a link has taken its place since
                    self._directories[parts].apply(fd)


def _exists(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _dangling(entry: tarfile.TarInfo) -> InvalidInput:
    return InvalidInput(f"{entry.name!r} is a hard link to {entry.linkname!r}: not in this layer")


@contextlib.contextmanager
def _inside(layer: Path, parts: Parts) -> Generator[int]:
    """Open a directory of a layer below, links not followed."""
    fd = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _explained(error: OSError, name: str) -> WasmimgError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}:
        return HostError(f"{name!r}: {error.strerror}", hint="free some space and try again")
    if error.errno in {errno.EPERM, errno.EACCES}:
        return HostError(f"{name!r}: {error.strerror}", hint="unpacking whiteouts needs root")
    return InvalidInput(f"{name!r}: {error.strerror}")
