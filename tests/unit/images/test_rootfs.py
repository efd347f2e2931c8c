from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.image import host_platform, select
from wasmimg_images.lookup import find
from wasmimg_images.reference import Reference
from wasmimg_images.rootfs import Origin, import_rootfs
from wasmimg_images.snapshot import Snapshots
from wasmimg_images.validate import validate
from wasmimg_testing.archives import Entry, folder, hard_link, tar
from wasmimg_testing.indexes import add_usual_index

if TYPE_CHECKING:
    from wasmimg_images.layout import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "etc").mkdir(parents=True)
    (path / "etc/hosts").write_bytes(b"127.0.0.1 localhost")
    (path / "etc/hosts").chmod(0o640)
    os.utime(path / "etc/hosts", (1000, 1000))
    os.link(path / "etc/hosts", path / "hosts")
    (path / "bin").symlink_to("usr/bin")
    return path


def test_a_folder_becomes_an_image_and_a_folder_again(
    store: Store, root: Path, tmp_path: Path
) -> None:
    descriptor = import_rootfs(store, root, Origin({"Cmd": ["sh"]}))
    image = select(store, descriptor)
    assert image.config.cmd == ("sh",)
    assert image.config.platform == host_platform()
    assert validate(store, descriptor) == []
    (found,) = Snapshots(tmp_path / "snapshots").layers(store, image)
    assert (found / "etc/hosts").read_bytes() == b"127.0.0.1 localhost"
    assert (found / "etc/hosts").samefile(found / "hosts")
    assert stat.S_IMODE((found / "etc/hosts").stat().st_mode) == 0o640
    assert (found / "etc/hosts").stat().st_mtime == 1000
    assert (found / "bin").readlink() == Path("usr/bin")


@pytest.mark.root
def test_devices_and_sockets_are_left_out_and_owners_kept(
    store: Store, root: Path, tmp_path: Path
) -> None:
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "socket", stat.S_IFSOCK | 0o666)
    os.chown(root / "etc", 7, 8)
    image = select(store, import_rootfs(store, root, Origin({})))
    (found,) = Snapshots(tmp_path / "snapshots").layers(store, image)
    assert sorted(p.name for p in found.iterdir()) == ["bin", "etc", "hosts"]
    assert ((found / "etc").stat().st_uid, (found / "etc").stat().st_gid) == (7, 8)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "gzip-fast", "none"])
def test_a_stream_becomes_an_image(store: Store, compression: str) -> None:
    content = [folder("dev"), Entry("a", data=b"x"), hard_link("b", "a")]
    content.append(Entry("dev/null", tarfile.CHRTYPE))
    stream = io.BufferedReader(io.BytesIO(tar(content)))  # type: ignore[type-var]
    descriptor = import_rootfs(store, stream, Origin({}), compression=compression)  # type: ignore[arg-type]
    assert validate(store, descriptor) == []


def test_the_same_folder_gives_the_same_digest(store: Store, root: Path) -> None:
    first = import_rootfs(store, root, Origin({}))
    assert import_rootfs(store, root, Origin({})) == first


def test_a_broken_stream_leaves_nothing(store: Store) -> None:
    stream = io.BufferedReader(io.BytesIO(tar([Entry("a", data=bytes(2000))])[:900]))  # type: ignore[type-var]
    with pytest.raises(InvalidInput):
        import_rootfs(store, stream, Origin({}))
    assert list((store.root / "blobs/sha256").iterdir()) == []
    assert list((store.root / "ingest").iterdir()) == []


def test_images_are_found_by_name_and_by_the_start_of_their_digest(store: Store) -> None:
    descriptor = add_usual_index(store)
    names = (Reference.parse("a"), Reference.parse("b:1"))
    for name in names:
        store.tag(name, descriptor)
    assert find(store, "a").asked == names[0]
    for text in (descriptor.digest.short, str(descriptor.digest), descriptor.digest.hex[:4]):
        found = find(store, text)
        assert (found.descriptor, found.names, found.asked) == (descriptor, names, None)
    for text in ("c", "ffffffffffff", "a:2"):
        with pytest.raises(NotFound):
            find(store, text)
    with pytest.raises(InvalidInput):
        find(store, "A B")
