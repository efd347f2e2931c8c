"""Folders that only their owner may enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

OTHERS: Final = 0o077


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter, and close one that others may enter.

    Files of containers lie below such folders: among them may be programs with the set-user-ID bit,
    which are the container's business and nobody's else, and environments with passwords.
    Folders above it are made with the caller's umask.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        mode = folder.stat().st_mode & 0o7777
        if mode & OTHERS:
            folder.chmod(mode & ~OTHERS)
