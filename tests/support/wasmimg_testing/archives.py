"""Tar streams with any entry in them, the hostile ones too."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """One entry; `data` is a file's content, `link` a link's target."""

    name: str
    kind: bytes = tarfile.REGTYPE
    data: bytes = b""
    link: str = ""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    mtime: float = 1000
    attributes: tuple[tuple[str, str], ...] = ()


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, tarfile.SYMTYPE, link=target, mode=0o777)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, tarfile.LNKTYPE, link=target)


def tar(entries: Iterable[Entry]) -> bytes:
    """Pack entries as they are, in their order."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode = entry.kind, entry.link, entry.mode
            info.uid, info.gid = entry.owner
            info.mtime, info.size = entry.mtime, len(entry.data)
            info.pax_headers = {f"SCHILY.xattr.{k}": v for k, v in entry.attributes}
            archive.addfile(info, io.BytesIO(entry.data))
    return packed.getvalue()
