"""Look-ups in a root: nothing leaves it. Needs no rights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wasmimg_shim.linux.root import Root
from wasmimg_testing.descriptors import descriptors


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield Root(fd)
    os.close(fd)


def real(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def test_folders_are_made_on_the_way(root: Root, tmp_path: Path) -> None:
    assert real(root.directory("/a/b/c")) == str(tmp_path / "root/a/b/c")
    assert real(root.directory("/a/b")) == str(tmp_path / "root/a/b")


def test_files_are_made_empty_and_kept(root: Root, tmp_path: Path) -> None:
    assert real(root.file("/etc/hosts")) == str(tmp_path / "root/etc/hosts")
    (tmp_path / "root/etc/hosts").write_text("mine")
    os.close(root.file("/etc/hosts"))
    assert (tmp_path / "root/etc/hosts").read_text() == "mine"


@pytest.mark.parametrize("target", ["/run", "run", "../../run", "./x/../run"])
def test_what_a_dangling_link_means_is_made(root: Root, tmp_path: Path, target: str) -> None:
    (tmp_path / "root/var").symlink_to(target)
    inside = real(root.directory("/var/lock"))
    assert inside == str(tmp_path / "root/run/lock")
    assert os.listdir(tmp_path) == ["root"]


def test_a_dangling_link_to_a_file(root: Root, tmp_path: Path) -> None:
    (tmp_path / "root/hosts").symlink_to("/deep/down/hosts")
    assert real(root.file("/hosts")) == str(tmp_path / "root/deep/down/hosts")


def test_links_may_be_refused(root: Root, tmp_path: Path) -> None:
    (tmp_path / "root/proc").symlink_to("etc")
    (tmp_path / "root/etc").mkdir()
    with pytest.raises(OSError, match="symbolic links"):
        root.open("/proc", links=False)


def test_a_circle_ends(root: Root, tmp_path: Path) -> None:
    (tmp_path / "root/a").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        root.directory("/a/b")


def test_a_file_in_a_folders_place(root: Root, tmp_path: Path) -> None:
    (tmp_path / "root/a").write_text("")
    with pytest.raises(NotADirectoryError):
        root.directory("/a/b")


def test_no_descriptor_is_left_behind(root: Root, tmp_path: Path) -> None:
    (tmp_path / "root/l").symlink_to("nowhere/at/all")
    before = descriptors()
    for make in (root.directory, root.file):
        os.close(make("/l/x/y" if make == root.directory else "/l/x/z"))
    assert descriptors() <= before


NAMES = st.sampled_from(["a", "b", "..", "."])
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(links=st.dictionaries(st.sampled_from(["a", "b", "a/b"]), PATHS), path=PATHS)
def test_nothing_leaves_the_root(tmp_path: Path, links: dict[str, str], path: str) -> None:
    base = tmp_path / str(len(os.listdir(tmp_path)))
    inside = base / "root"
    inside.mkdir(parents=True)
    for name, target in links.items():
        # through no link made before: the test itself must not leave the root either
        link = inside / name
        if not link.parent.is_symlink() and not os.path.lexists(link):
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(target)
    fd = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    try:
        found = real(Root(fd).directory(f"/{path}"))
    except OSError:
        return
    finally:
        os.close(fd)
        assert os.listdir(base) == ["root"]
    assert found == str(inside) or found.startswith(f"{inside}/")
