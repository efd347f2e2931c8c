"""Docker's config.json on disk: read whole, changed under a lock, written atomically, mode 0600.

What we don't know in it stays as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from typing import TYPE_CHECKING, cast

from wasmimg_images.errors import HostError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Document = dict[str, object]


def read(path: Path) -> Document:
    """Read a file, empty if it is not there; raises InvalidInput for anything but a JSON object."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    if not raw.strip():
        return {}
    try:
        document: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: expected a JSON object")
    return cast("Document", document)


def section(document: Document, name: str) -> Document:
    """Give one of the file's objects, empty if it is not there or is of another kind."""
    found = document.get(name)
    return cast("Document", found) if isinstance(found, dict) else {}


def update(path: Path, change: Callable[[Document], Document]) -> None:
    """Change a file; two at once don't lose each other's entry. Raises HostError, InvalidInput."""
    target = path.resolve()  # people link it from their dot files: keep the link
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{target.parent}: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        document = read(target)
        changed = change(document)
        if changed != document:
            _write(target, json.dumps(changed, indent="\t", ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise HostError(f"{target}: {error.strerror}") from error
    finally:
        os.close(folder)


def _write(target: Path, data: bytes) -> None:
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(fd)
        partial.rename(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
