"""Compiled code on disk.

A file of the cache is executed by every container that uses its module, so the folder and each
file must be ours alone (owner and mode are checked on every look-up), files appear by rename, and
only the parent of the compiling child (`compilation.py`) writes here.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from wasmimg_images.errors import HostError
from wasmimg_shim.compilation import Compilation, compile_child

if TYPE_CHECKING:
    from collections.abc import Generator

    from wasmimg_shim.engine import Engine

__all__ = ["CodeCache", "Compilation", "cache_key", "compile_child"]


def cache_key(engine: Engine, module_digest: str) -> str:
    """Name the code that `engine` makes here of the module with this digest (64 hex digits)."""
    return hashlib.sha256(f"{engine.fingerprint()}\n{module_digest}".encode()).hexdigest()


class CodeCache:
    """A folder of compiled code, `<key>.code`, private to one user."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.fspath(directory)

    def lookup(self, key: str) -> int | None:
        """Open the code called `key` for `Engine.load`; None if it is absent or not ours alone."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with _private_folder(self.directory) as folder:
                fd = os.open(f"{key}.code", flags, dir_fd=folder)
        except OSError:  # absent, a link, or not to be trusted: compile it anew
            return None
        if _ours_alone(os.fstat(fd), stat.S_IFREG):
            return fd
        os.close(fd)
        return None

    def store(self, key: str, code: bytes) -> int:
        """Write `code` under `key` and open it as `lookup` does.

        Two writers of one key leave one whole file. HostError: no space, or no right to write.
        """
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            with _private_folder(self.directory) as folder:
                _write(folder, f"{key}.code", code)
        except OSError as error:
            raise HostError(
                f"cannot keep compiled code in {self.directory}: {error.strerror}",
                hint="make room, or set WASMIMG_CACHE to a folder of your own (mode 0700)",
            ) from error
        fd = self.lookup(key)
        if fd is None:
            raise HostError(f"{self.directory}/{key}.code changed while it was written")
        return fd


def _ours_alone(status: os.stat_result, kind: int) -> bool:
    """Whether we own it and nobody else may write it."""
    return (
        stat.S_IFMT(status.st_mode) == kind
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o022
    )


@contextmanager
def _private_folder(path: str) -> Generator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _ours_alone(os.fstat(folder), stat.S_IFDIR):
            raise PermissionError(1, "others may write to it", path)
        yield folder
    finally:
        os.close(folder)


def _write(folder: int, name: str, code: bytes) -> None:
    """Make the file whole under another name, then rename: a reader sees all of it or nothing."""
    part = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(part, flags, 0o600, dir_fd=folder)
    try:
        try:
            remaining = memoryview(code)
            while remaining:
                remaining = remaining[os.write(fd, remaining) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        raise
