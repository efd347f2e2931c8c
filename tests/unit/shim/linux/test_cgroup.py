from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import HostError, RunError
from wasmimg_shim.linux.cgroup import Cgroup, Hierarchy, hierarchies
from wasmimg_shim.linux.cgroup_path import cgroups_path
from wasmimg_shim.spec import Memory, Resources

HYBRID = "4:memory:/user\n3:cpu,cpuacct:/\n2:absent:/\n1:name=systemd:/\n0::/user.slice\n"


def test_hierarchies_of_version_1(tmp_path: Path) -> None:
    for name in ("memory", "cpu,cpuacct", "systemd", "unified"):
        (tmp_path / name).mkdir()
    found = hierarchies(HYBRID, str(tmp_path))
    assert [(h.name, h.own) for h in found] == [
        ("memory", "/user"),
        ("cpu,cpuacct", "/"),
        ("systemd", "/"),
    ]
    assert found[1].controllers == ("cpu", "cpuacct")


def test_the_hierarchy_of_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    assert hierarchies("0::/a/b\n", str(tmp_path)) == (Hierarchy("", str(tmp_path), "/a/b"),)


def test_no_cgroups(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no cgroups"):
        hierarchies("0::/\n", str(tmp_path))


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/docker/abc", "/m/docker/abc"),
        ("abc", "/m/own/abc"),
        ("/../../etc", "/etc"),
    ],
)
def test_absolute_paths_are_below_the_mount_others_below_ones_own(path: str, folder: str) -> None:
    assert Hierarchy("memory", "/m", "/own").locate(path) == folder


@pytest.mark.parametrize(
    ("given_path", "place"),
    [
        ("", "box"),
        ("/docker/box", "/docker/box"),
        ("system.slice:docker:box", "/system.slice/docker-box.scope"),
        (":docker:box", "/system.slice/docker-box.scope"),
        ("a-b.slice::box", "/a.slice/a-b.slice/box.scope"),
        ("-.slice:docker:box", "/docker-box.scope"),
    ],
)
def test_spellings_of_the_path(given_path: str, place: str) -> None:
    assert cgroups_path(given_path, "box") == place


def folders(root: Path) -> Cgroup:
    """Plain folders in place of cgroups: the same calls, and no controllers."""
    return Cgroup(tuple((name, str(root / name / "a" / "box")) for name in ("memory", "pids")))


def populate(path: str, text: str = "") -> None:
    (Path(path) / "cgroup.procs").write_text(text)


def test_a_record_is_enough_to_remove(tmp_path: Path) -> None:
    record = str(tmp_path / "record")
    made = folders(tmp_path)
    made.create(record)
    assert all(os.path.isdir(path) for _, path in made.folders)
    recalled = Cgroup.recall(record)
    assert recalled.folders == made.folders
    recalled.remove()
    assert sorted(os.listdir(tmp_path)) == ["memory", "pids"]
    assert not any(os.path.exists(path) for _, path in made.folders)
    recalled.remove()


def test_a_folder_of_systemds_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = tmp_path / "systemd/a.scope"
    scope.mkdir(parents=True)
    populate(str(scope))
    other = tmp_path / "freezer/a.scope"
    made = Cgroup((("systemd", str(scope)), ("freezer", str(other))))
    record = str(tmp_path / "record")
    made.adopt(record)
    assert other.is_dir()
    assert made.left_to_systemd
    monkeypatch.setattr("wasmimg_shim.linux.cgroup.BOOTED", str(tmp_path))
    assert Cgroup.recall(record).left_to_systemd
    monkeypatch.setattr("wasmimg_shim.linux.cgroup.BOOTED", str(tmp_path / "none"))
    assert not Cgroup.recall(record).left_to_systemd
    (scope / "cgroup.procs").unlink()
    scope.rmdir()
    assert not made.left_to_systemd
    made.remove()
    assert not other.exists()
    assert not (tmp_path / "record").exists()


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    cgroup = Cgroup((("pids", str(tmp_path)),))
    with pytest.raises(HostError, match=r"memory\.limit_in_bytes.*controller 'memory'"):
        cgroup.limit(Resources(memory=Memory(limit=1)))


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    cgroup = folders(tmp_path)
    for _, path in cgroup.folders:
        os.makedirs(path)
        populate(path, "1\n")
    with pytest.raises(RunError, match="has processes in it"):
        cgroup.create(str(tmp_path / "record"))
    assert all(os.path.isdir(path) for _, path in cgroup.folders)
    assert not (tmp_path / "record").exists()


def test_a_folder_that_can_not_be_made_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "pids").write_text("in the way")
    cgroup = folders(tmp_path)
    (tmp_path / "memory/a").mkdir(parents=True)
    with pytest.raises(OSError):
        cgroup.create(str(tmp_path / "record"))
    assert os.listdir(tmp_path / "memory/a") == []
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize(
    ("name", "file"), [("memory", "memory.oom_control"), ("", "memory.events")]
)
def test_kills_for_memory_are_counted(tmp_path: Path, name: str, file: str) -> None:
    cgroup = Cgroup(((name, str(tmp_path)),))
    assert cgroup.oom_kills() == 0
    (tmp_path / file).write_text("under_oom 0\noom 9\noom_kill 3\n")
    assert cgroup.oom_kills() == 3


@given(st.text(alphabet="ab-.:/", max_size=30))
def test_any_path_becomes_a_place(path: str) -> None:
    place = cgroups_path(path, "box")
    assert place
    assert ":" not in place or path.count(":") > 2
