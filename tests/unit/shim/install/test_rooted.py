from __future__ import annotations

import os
from pathlib import Path

import pytest

from wasmimg_images.errors import HostError
from wasmimg_shim.install.rooted import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "r/etc").mkdir(parents=True)
    return Root(str(tmp_path / "r"))


def test_links_are_followed_inside_the_root(root: Root, tmp_path: Path) -> None:
    (tmp_path / "r/srv").mkdir()
    (tmp_path / "r/etc/docker").symlink_to("/srv")
    (tmp_path / "r/srv/daemon.json").symlink_to("../../../../etc/real.json")
    root.write("/etc/docker/daemon.json", b"{}", 0o644)
    assert (tmp_path / "r/etc/real.json").read_bytes() == b"{}"
    assert (tmp_path / "r/srv/daemon.json").is_symlink()
    assert root.read("/etc/docker/daemon.json") == b"{}"


def test_links_in_a_circle_are_an_error(root: Root, tmp_path: Path) -> None:
    (tmp_path / "r/a").symlink_to("b")
    (tmp_path / "r/b").symlink_to("a")
    with pytest.raises(HostError, match="/a/x"):
        root.read("/a/x")


def test_paths_in_and_out(root: Root) -> None:
    assert root.inside(root.outside("/etc/x")) == "/etc/x"
    assert root.inside("/elsewhere") == "/elsewhere"
    assert Root("/").outside("/etc/hosts") == os.path.realpath("/etc/hosts")


def test_a_write_keeps_the_owner_and_leaves_no_half(root: Root, tmp_path: Path) -> None:
    path = tmp_path / "r/etc/f"
    path.write_bytes(b"old")
    (tmp_path / "r/etc/f.wasmimg-new").write_bytes(b"of a killed write")
    if os.geteuid() == 0:
        os.chown(path, 7, 8)
    before = path.stat()
    root.write("/etc/f", b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert (path.stat().st_uid, path.stat().st_gid) == (before.st_uid, before.st_gid)
    assert os.listdir(tmp_path / "r/etc") == ["f"]


def test_a_backup_comes_back_with_its_rights_and_times(root: Root, tmp_path: Path) -> None:
    path = tmp_path / "r/etc/f"
    path.write_bytes(b"old")
    os.utime(path, (1, 2))
    path.chmod(0o640)
    for _ in range(2):  # again, as after a kill
        root.back_up("/etc/f", "/etc/f.kept")
    root.write("/etc/f", b"new", 0o644)
    root.rename("/etc/f.kept", "/etc/f")
    status = path.stat()
    assert (path.read_bytes(), status.st_mtime, status.st_mode & 0o777) == (b"old", 2, 0o640)
    assert os.listdir(tmp_path / "r/etc") == ["f"]


def test_who_edits_a_file_in_place_does_not_edit_its_backup(root: Root, tmp_path: Path) -> None:
    (tmp_path / "r/etc/f").write_bytes(b"old")
    root.back_up("/etc/f", "/etc/f.kept")
    (tmp_path / "r/etc/f").write_bytes(b"edited")
    assert (tmp_path / "r/etc/f.kept").read_bytes() == b"old"


def test_folders_that_are_missing_and_those_that_are_not_empty(root: Root, tmp_path: Path) -> None:
    assert root.missing_folders("/opt/a/b/f") == ["/opt", "/opt/a", "/opt/a/b"]
    assert root.missing_folders("/etc/f") == []
    root.make_folder("/opt/a")
    root.remove_folder("/opt")
    assert (tmp_path / "r/opt/a").is_dir()
    for folder in ("/opt/a", "/opt", "/opt"):
        root.remove_folder(folder)
    assert not (tmp_path / "r/opt").exists()
