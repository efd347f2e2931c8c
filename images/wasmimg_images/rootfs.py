"""Making an image of a root filesystem: a folder (debootstrap's, a mounted disk) or a tar of one.

Content is streamed: nothing is held in memory or unpacked beside. Device nodes and sockets are left
out, since a container gets its /dev from its runtime and unpacking refuses them.
"""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.compression import decompress
from wasmimg_images.document import encode
from wasmimg_images.errors import InvalidInput
from wasmimg_images.image import host_platform
from wasmimg_images.layer_writer import Compression, Layer, LayerWriter
from wasmimg_images.spec import OCI_CONFIG, OCI_MANIFEST, Descriptor
from wasmimg_images.tarstream import entries

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping

    from wasmimg_images.archive.tarball import TarWriter
    from wasmimg_images.layout import Store
    from wasmimg_images.spec import Platform

_CAPABILITY: Final = "security.capability"
_EPOCH: Final = "1970-01-01T00:00:00Z"


class Origin(NamedTuple):
    """What the image's config says beside its layer: platform and the `config` object's fields."""

    run: Mapping[str, object]
    platform: Platform | None = None
    created: str = _EPOCH
    created_by: str = "wasmimg import"


def import_rootfs(
    store: Store,
    source: io.BufferedReader | Path,
    origin: Origin,
    *,
    compression: Compression = "zstd",
) -> Descriptor:
    """Write a one-layer image of a tar stream (plain, gzip, zstd) or a folder into the store.

    Owners, modes, times, hard links and file capabilities are kept, so reading a folder needs the
    rights of its owner. The blobs are kept until the store's next tag. Raises InvalidInput for a
    broken archive.
    """
    with LayerWriter(store, compression) as writer:
        if isinstance(source, Path):
            _Walk(source, writer.tar).run()
        else:
            _copy(source, writer.tar)
        return _image(store, writer.finish(), origin)


def _image(store: Store, layer: Layer, origin: Origin) -> Descriptor:
    config: dict[str, object] = {
        **(origin.platform or host_platform()).document(),
        "created": origin.created,
        "config": dict(origin.run),
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id)]},
        "history": [{"created": origin.created, "created_by": origin.created_by}],
    }
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": store.write(encode(config), OCI_CONFIG).document(),
        "layers": [layer.descriptor.document()],
    }
    return store.write(encode(manifest), OCI_MANIFEST)


def _copy(stream: io.BufferedReader, tar: TarWriter) -> None:
    for entry, content in entries(decompress(stream)):
        if not entry.ischr() and not entry.isblk():
            tar.entry(entry, content)


class _Walk:
    """One pass over a folder, in the order of names."""

    def __init__(self, root: Path, tar: TarWriter) -> None:
        self._root = root
        self._tar = tar
        #: (device, inode) -> the name under which a file with several was written first.
        self._linked: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        if not self._root.is_dir():
            raise InvalidInput(f"{self._root} is no folder")
        self._add(os.fspath(self._root), ".", os.stat(self._root))
        self._folder(os.fspath(self._root), "")

    def _folder(self, path: str, name: str) -> None:
        with os.scandir(path) as found:
            inner = sorted(found, key=lambda entry: entry.name)
        for entry in inner:
            member = f"{name}{entry.name}"
            self._add(entry.path, member, entry.stat(follow_symlinks=False))
            if entry.is_dir(follow_symlinks=False):
                self._folder(entry.path, f"{member}/")

    def _add(self, path: str, name: str, found: os.stat_result) -> None:
        entry = tarfile.TarInfo(name)
        entry.mode = stat.S_IMODE(found.st_mode)
        entry.uid, entry.gid = found.st_uid, found.st_gid
        entry.mtime = int(found.st_mtime)
        entry.pax_headers = dict(_attributes(path))
        kind = stat.S_IFMT(found.st_mode)
        inode = (found.st_dev, found.st_ino)
        if kind == stat.S_IFREG and inode in self._linked:
            entry.type, entry.linkname = tarfile.LNKTYPE, self._linked[inode]
            self._tar.entry(entry)
        elif kind == stat.S_IFREG:
            if found.st_nlink > 1:
                self._linked[inode] = name
            with open(path, "rb") as content:
                entry.size = os.fstat(content.fileno()).st_size
                self._tar.entry(entry, content)
        elif kind == stat.S_IFDIR:
            entry.type = tarfile.DIRTYPE
            self._tar.entry(entry)
        elif kind == stat.S_IFLNK:
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
            self._tar.entry(entry)
        elif kind == stat.S_IFIFO:
            entry.type = tarfile.FIFOTYPE
            self._tar.entry(entry)


def _attributes(path: str) -> Iterator[tuple[str, str]]:
    try:
        value = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    except OSError:
        return
    yield f"SCHILY.xattr.{_CAPABILITY}", value.decode("utf-8", "surrogateescape")
