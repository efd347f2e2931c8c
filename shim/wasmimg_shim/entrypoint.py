"""What a container's first word names: a Wasm module or a Linux program, in its own files.

`/app.wasm` runs `_start`, `/app.wasm#handle` the export `handle`. A word without a slash is looked
up on the image's PATH, then, if it is a Wasm module there, in the working directory: images FROM
scratch say just `app.wasm`. Look-ups never leave the image, whatever links it has. In an image that
has its module as a layer there is no file: there the first word is only its name.
"""

from __future__ import annotations

import enum
import os
import posixpath
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import CannotInvoke, CommandNotFound, InvalidInput
from wasmimg_shim.linux import libc
from wasmimg_shim.linux.root import Root

if TYPE_CHECKING:
    from wasmimg_shim.bundle import Bundle
    from wasmimg_shim.spec import Spec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WASM_MAGIC = b"\0asm"
_LINUX_MAGICS = (b"\x7fELF", b"#!")
#: what Docker puts in front with --init: no Wasm module has children that it could forget
_INIT = ("/sbin/docker-init", "--")
_SUFFIX = ".wasm"
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class Kind(enum.Enum):
    """Who runs it."""

    WASM = enum.auto()
    LINUX = enum.auto()


class Entrypoint(NamedTuple):
    """The file, open for reading (the caller closes `fd`), and an export other than _start.

    `before` is how many of the process's arguments are dropped, since they stand before it.
    """

    kind: Kind
    path: str
    fd: int
    function: str | None = None
    before: int = 0


class _Missing(Exception):
    """There is no such file."""


def resolve(bundle: Bundle) -> Entrypoint:
    """Find the entrypoint; raises CommandNotFound, CannotInvoke or InvalidInput.

    Their texts hold the words by which Docker tells exit codes 126 and 127.
    """
    words = bundle.spec.process.args
    if not words or not words[0]:
        raise InvalidInput("no command: the image has no entrypoint and none was given")
    before = _before(words)
    if before:
        found = _resolve(bundle, words[before])
        if found.kind is Kind.WASM:
            return found._replace(before=before)
        os.close(found.fd)
    return _resolve(bundle, words[0])


def module(bundle: Bundle, fd: int) -> Entrypoint:
    """Make the entrypoint of a module that is no file of the container; `fd` is taken over."""
    words = bundle.spec.process.args
    before = _before(words)
    path, _, function = words[before].partition("#")
    return Entrypoint(Kind.WASM, path, fd, function or None, before)


def module_name(bundle: Bundle) -> str | None:
    """Say what a module that is no file would be called; None where none is asked for."""
    words = bundle.spec.process.args
    name = words[_before(words)].partition("#")[0]
    return name if name.endswith(_SUFFIX) else None


def _before(words: tuple[str, ...]) -> int:
    return len(_INIT) if words[: len(_INIT)] == _INIT and len(words) > len(_INIT) else 0


def _resolve(bundle: Bundle, word: str) -> Entrypoint:
    try:
        return _resolve_word(bundle, word)
    except _Missing:
        pass
    path, separator, function = word.rpartition("#")
    if separator and path:
        try:
            return _resolve_word(bundle, path)._replace(function=function)
        except _Missing:
            pass
    if "/" in word:
        raise CommandNotFound(f'exec: "{word}": stat {word}: no such file or directory')
    raise CommandNotFound(f'exec: "{word}": executable file not found in $PATH')


def _resolve_word(bundle: Bundle, word: str) -> Entrypoint:
    spec = bundle.spec
    here = posixpath.join("/", spec.process.cwd, word)
    if "/" in word:
        return _classify(bundle, here, word)
    for folder in _search_path(spec).split(":"):
        try:
            return _classify(bundle, posixpath.join("/", folder, word), word)
        except (_Missing, CannotInvoke):
            continue
    found = _classify(bundle, here, word)
    if found.kind is Kind.LINUX:
        os.close(found.fd)
        raise _Missing
    return found


def _search_path(spec: Spec) -> str:
    for entry in spec.process.env:
        name, _, value = entry.partition("=")
        if name == "PATH":
            return value
    return DEFAULT_PATH


def _classify(bundle: Bundle, path: str, word: str) -> Entrypoint:
    fd = _open(bundle, posixpath.normpath(path), word)
    with ExitStack() as undo:
        undo.callback(os.close, fd)
        head = os.pread(fd, len(_WASM_MAGIC), 0)
        if head == _WASM_MAGIC:
            kind = Kind.WASM
        elif head.startswith(_LINUX_MAGICS):
            kind = Kind.LINUX
            if not os.fstat(fd).st_mode & _EXECUTABLE:
                raise CannotInvoke(f'exec: "{word}": permission denied')
        else:
            raise CannotInvoke(
                f'exec: "{word}": exec format error: neither a Wasm module nor a Linux program'
            )
        undo.pop_all()
    return Entrypoint(kind, path, fd)


def _open(bundle: Bundle, path: str, word: str) -> int:
    """Open a regular file of the container for reading."""
    base, inner = _place(bundle, path)
    try:
        base_fd = os.open(base, libc.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Missing from None
    with ExitStack() as opened:
        opened.callback(os.close, base_fd)
        place = base_fd
        if inner:
            try:
                place = Root(base_fd).open(inner, libc.O_PATH)
            except (FileNotFoundError, NotADirectoryError):
                raise _Missing from None
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise CannotInvoke(f'exec: "{word}": {reason}') from error
            opened.callback(os.close, place)
        mode = os.fstat(place).st_mode
        if stat.S_ISDIR(mode):
            raise CannotInvoke(f'exec: "{word}": is a directory')
        if not stat.S_ISREG(mode):
            raise CannotInvoke(f'exec: "{word}": permission denied')
        # The descriptor found is what is opened: the path is not walked a second time.
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)


def _place(bundle: Bundle, path: str) -> tuple[str, str]:
    """Return the folder of the host that a path of the container lies in, and the rest of it.

    The mounts are not made yet: what a bind mount is going to cover is looked up in its source.
    """
    best, inner = bundle.rootfs, path
    length = -1
    for mount in bundle.spec.mounts:
        if mount.type != "bind" and not {"bind", "rbind"} & set(mount.options):
            continue
        destination = posixpath.normpath(mount.destination)
        is_below = path == destination or path.startswith(destination.rstrip("/") + "/")
        if is_below and len(destination) >= length:
            length = len(destination)
            best = os.path.join(bundle.path, mount.source)
            inner = path[len(destination) :].lstrip("/")
    return best, inner
