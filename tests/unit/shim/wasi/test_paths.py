from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from wasmimg_images.errors import RunError
from wasmimg_shim.guest import Guest, Preopen
from wasmimg_shim.wasi import errno, rights
from wasmimg_shim.wasi.beneath import Beneath
from wasmimg_shim.wasi.memory import Refused
from wasmimg_testing.wasi import Stage

CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
ROOT, VOLUME = 3, 4
READ = rights.FD_READ


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root").mkdir()
    (tmp_path / "volume").mkdir()
    return tmp_path / "root"


@pytest.fixture(params=["openat2", "walk"])
def stage(request: pytest.FixtureRequest, root: Path) -> Stage:
    preopens = (
        Preopen("/", str(root)),
        Preopen("/ro", str(root.parent / "volume"), writable=False),
    )
    stage = Stage(Guest(("t",), preopens=preopens)).open()
    if request.param == "walk":
        for function in stage.world._functions["path_open"]:
            function.call.__self__._beneath = Beneath(kernel=False)  # type: ignore[attr-defined] # a bound method has it
    return stage


def test_create_and_open(stage: Stage, root: Path) -> None:
    assert stage.open_path(ROOT, "f")[0] == errno.NOENT
    assert stage.open_path(ROOT, "f", oflags=CREAT | EXCL)[0] == 0
    assert stage.open_path(ROOT, "f", oflags=CREAT | EXCL)[0] == errno.EXIST
    (root / "f").write_text("content")
    assert stage.open_path(ROOT, "f", oflags=TRUNC)[0] == 0
    assert (root / "f").read_text() == ""
    assert stage.open_path(ROOT, "f", oflags=DIRECTORY)[0] == errno.NOTDIR
    assert stage.open_path(ROOT, "f/")[0] == errno.NOTDIR
    assert stage.open_path(ROOT, "f", oflags=16)[0] == errno.INVAL


def test_folders_are_used_as_folders(stage: Stage, root: Path) -> None:
    stage.ok("path_create_directory", ROOT, *stage.path("d"))
    assert stage.call("path_create_directory", ROOT, *stage.path("d/")) == errno.EXIST
    number, folder = stage.open_path(ROOT, "d", oflags=DIRECTORY)
    assert number == 0
    assert stage.open_path(folder, "f", oflags=CREAT)[0] == 0
    assert (root / "d/f").exists()
    assert stage.call("path_remove_directory", ROOT, *stage.path("d")) == errno.NOTEMPTY
    assert stage.call("path_unlink_file", ROOT, *stage.path("d")) == errno.ISDIR
    stage.ok("path_unlink_file", folder, *stage.path("f"))
    assert stage.call("path_unlink_file", ROOT, *stage.path("d/none")) == errno.NOENT
    stage.ok("path_remove_directory", ROOT, *stage.path("d"))
    assert not (root / "d").exists()
    assert stage.open_path(ROOT, ".", base=rights.ALL)[0] == errno.ISDIR
    assert stage.open_path(ROOT, ".", oflags=DIRECTORY)[0] == 0


def test_links(stage: Stage, root: Path) -> None:
    (root / "f").write_text("content")
    stage.ok("path_symlink", *stage.path("f"), ROOT, *stage.path("s"))
    buffer, used = stage.room(16), stage.room()
    stage.ok("path_readlink", ROOT, *stage.path("s"), buffer, 16, used)
    assert stage.memory[buffer : buffer + stage.u32(used)] == b"f"
    assert stage.call("path_readlink", ROOT, *stage.path("f"), buffer, 16, used) == errno.INVAL
    number, fd = stage.open_path(ROOT, "s", base=READ)
    assert number == 0
    assert stage.read(fd) == b"content"
    assert stage.open_path(ROOT, "s", base=READ, follow=0)[0] == errno.LOOP
    stage.ok("path_link", ROOT, 0, *stage.path("f"), ROOT, *stage.path("hard"))
    assert (root / "hard").stat().st_nlink == 2
    assert (
        stage.call("path_link", ROOT, 1, *stage.path("f"), ROOT, *stage.path("h2")) == errno.INVAL
    )
    absolute = stage.call("path_symlink", *stage.path("/etc"), ROOT, *stage.path("abs"))
    assert absolute == errno.NOTCAPABLE


def test_rename(stage: Stage, root: Path) -> None:
    (root / "a").write_text("A")
    (root / "b").write_text("B")
    (root / "d").mkdir()
    stage.ok("path_rename", ROOT, *stage.path("a"), ROOT, *stage.path("d/b"))
    stage.ok("path_rename", ROOT, *stage.path("b"), ROOT, *stage.path("d/b"))
    assert (root / "d/b").read_text() == "B"
    assert stage.call("path_rename", ROOT, *stage.path("x"), ROOT, *stage.path("y")) == errno.NOENT


def test_status_and_times_of_links_and_targets(stage: Stage, root: Path) -> None:
    (root / "f").write_text("12345")
    (root / "s").symlink_to("f")
    at = stage.room(64)
    for follow, kind, size in ((1, 4, 5), (0, 7, 1)):
        stage.ok("path_filestat_get", ROOT, follow, *stage.path("s"), at)
        assert (stage.memory[at + 16], stage.u64(at + 32)) == (kind, size)
        stage.ok("path_filestat_set_times", ROOT, follow, *stage.path("s"), 0, 10**9 * follow, 4)
    assert (root / "f").stat().st_mtime == 1
    assert (root / "s").lstat().st_mtime == 0


ESCAPES = [
    "..", "../secret", "/etc/passwd", "d/../../secret", "./../secret", "up", "up/secret",
    "d/up2", "absolute", "chain", "/", "d/..//../secret",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_outside_is_reached(stage: Stage, root: Path, path: str) -> None:
    (root / "d").mkdir()
    (root / "up").symlink_to("..")
    (root / "d/up2").symlink_to("../../secret")
    (root / "absolute").symlink_to(root.parent / "secret")
    (root / "chain").symlink_to("up/secret")
    at = stage.room(64)
    assert stage.open_path(ROOT, path, base=READ)[0] == errno.NOTCAPABLE
    assert stage.open_path(ROOT, path, oflags=CREAT, base=READ)[0] == errno.NOTCAPABLE
    assert stage.call("path_filestat_get", ROOT, 1, *stage.path(path), at) == errno.NOTCAPABLE
    assert (root.parent / "secret").read_text() == "outside"


@pytest.mark.parametrize("path", ["../x", "up/x", "/x", "d/../../x"])
def test_nothing_outside_is_changed(stage: Stage, root: Path, path: str) -> None:
    (root / "d").mkdir()
    (root / "up").symlink_to("..")
    (root.parent / "x").write_text("victim")
    (root / "mine").write_text("mine")
    calls = [
        stage.call("path_create_directory", ROOT, *stage.path(path)),
        stage.call("path_unlink_file", ROOT, *stage.path(path)),
        stage.call("path_remove_directory", ROOT, *stage.path(path)),
        stage.call("path_symlink", *stage.path("mine"), ROOT, *stage.path(path)),
        stage.call("path_rename", ROOT, *stage.path("mine"), ROOT, *stage.path(path)),
        stage.call("path_rename", ROOT, *stage.path(path), ROOT, *stage.path("new")),
        stage.call("path_link", ROOT, 0, *stage.path("mine"), ROOT, *stage.path(path)),
        stage.call("path_link", ROOT, 0, *stage.path(path), ROOT, *stage.path("new")),
        stage.call("path_filestat_set_times", ROOT, 1, *stage.path(path), 0, 0, 4),
        stage.call("path_readlink", ROOT, *stage.path(path), stage.room(), 8, stage.room()),
    ]
    assert calls == [errno.NOTCAPABLE] * len(calls)
    assert (root.parent / "x").read_text() == "victim"
    assert sorted(os.listdir(root)) == ["d", "mine", "up"]


def test_magic_links_and_other_mounts_are_not_followed() -> None:
    stage = Stage(Guest(("t",), preopens=(Preopen("/proc", "/proc"),))).open()
    for path in ("self/cwd", "self/root/etc/passwd", f"{os.getpid()}/fd/0"):
        assert stage.open_path(ROOT, path, base=READ)[0] in {errno.NOTCAPABLE, errno.LOOP}
    assert stage.open_path(ROOT, "self/status", base=READ)[0] == 0


@pytest.mark.parametrize("kernel", [True, False])
def test_a_mount_point_has_its_own_preopen(*, kernel: bool) -> None:
    folder = os.open("/", os.O_PATH)
    try:
        with pytest.raises(Refused) as caught:
            Beneath(kernel=kernel).open(folder, b"proc/version", os.O_RDONLY)
    finally:
        os.close(folder)
    assert caught.value.number == errno.NOTCAPABLE


def test_a_loop_of_links_ends(stage: Stage, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "c").symlink_to("a/x")
    for name in ("a", "c"):
        assert stage.open_path(ROOT, name, base=READ)[0] == errno.LOOP


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", errno.NOENT),
        (b"a\0b", errno.INVAL),
        (b"\xff", errno.ILSEQ),
        (b"x" * 256, errno.NAMETOOLONG),
        (b"f/x", errno.NOTDIR),
    ],
)
def test_malformed_paths(stage: Stage, root: Path, path: bytes, expected: int) -> None:
    (root / "f").touch()
    assert stage.open_path(ROOT, path, base=READ)[0] == expected


def test_a_read_only_folder_stays_as_it_is(stage: Stage, root: Path) -> None:
    volume = root.parent / "volume"
    (volume / "f").write_text("content")
    (volume / "d").mkdir()
    assert stage.open_path(VOLUME, "f", base=rights.FD_WRITE)[0] == errno.ROFS
    assert stage.open_path(VOLUME, "new", oflags=CREAT, base=READ)[0] == errno.ROFS
    assert stage.open_path(VOLUME, "f", oflags=TRUNC, base=READ)[0] == errno.ROFS
    changes = [
        ("path_create_directory", VOLUME, *stage.path("n")),
        ("path_unlink_file", VOLUME, *stage.path("f")),
        ("path_remove_directory", VOLUME, *stage.path("d")),
        ("path_symlink", *stage.path("f"), VOLUME, *stage.path("s")),
        ("path_rename", VOLUME, *stage.path("f"), ROOT, *stage.path("f")),
        ("path_rename", ROOT, *stage.path("f"), VOLUME, *stage.path("g")),
        ("path_link", VOLUME, 0, *stage.path("f"), ROOT, *stage.path("f")),
        ("path_filestat_set_times", VOLUME, 0, *stage.path("f"), 0, 0, 4),
    ]
    (root / "f").touch()
    assert [stage.call(*change) for change in changes] == [errno.ROFS] * len(changes)
    number, fd = stage.open_path(VOLUME, "f", base=READ)
    assert number == 0
    assert stage.read(fd) == b"content"
    assert stage.call("fd_filestat_set_times", fd, 0, 0, 4) == errno.ROFS
    number, below = stage.open_path(VOLUME, "d", oflags=DIRECTORY)
    assert number == 0
    assert stage.open_path(below, "new", oflags=CREAT, base=READ)[0] == errno.ROFS


def test_rights_of_a_folder_limit_its_files(stage: Stage, root: Path) -> None:
    (root / "f").touch()
    stage.ok("fd_fdstat_set_rights", ROOT, rights.PATH_OPEN, READ)
    assert stage.call("path_unlink_file", ROOT, *stage.path("f")) == errno.NOTCAPABLE
    assert stage.open_path(ROOT, "f", base=rights.FD_WRITE)[0] == errno.NOTCAPABLE
    number, fd = stage.open_path(ROOT, "f", base=READ | rights.FD_SEEK)
    assert number == 0
    assert stage.call("fd_seek", fd, 1, 0, stage.room()) == errno.NOTCAPABLE


def test_paths_need_a_folder(stage: Stage, root: Path) -> None:
    (root / "f").touch()
    _, fd = stage.open_path(ROOT, "f", base=READ)
    assert stage.open_path(fd, "x", base=READ)[0] == errno.NOTDIR
    assert stage.call("path_unlink_file", fd, *stage.path("x")) == errno.NOTDIR


def test_the_signal_file_is_served_without_being_there(stage: Stage, root: Path) -> None:
    assert not stage.world.signal(15)
    number, fd = stage.open_path(ROOT, "dev/wasmimg/signal", base=READ)
    assert number == 0
    assert stage.world.signal(signal.SIGTERM)
    assert stage.world.signal(signal.SIGHUP)
    assert stage.read(fd) == bytes((signal.SIGTERM, signal.SIGHUP))
    at = stage.room(64)
    stage.ok("path_filestat_get", ROOT, 0, *stage.path("./dev//wasmimg/signal"), at)
    assert stage.memory[at + 16] == 2
    assert stage.open_path(ROOT, "dev/wasmimg/signal", base=rights.FD_WRITE)[0] == errno.NOTCAPABLE
    assert stage.call("path_unlink_file", ROOT, *stage.path("dev/wasmimg/signal")) == errno.ROFS
    assert stage.open_path(VOLUME, "dev/wasmimg/signal", base=READ)[0] == errno.NOENT
    stage.ok("fd_close", fd)
    assert not stage.world.signal(signal.SIGTERM)
    assert not (root / "dev").exists()


def test_a_single_file_may_be_mounted(root: Path) -> None:
    (root / "etc").mkdir()
    (root.parent / "hosts").write_text("127.0.0.1 me")
    for writable in (True, False):
        mounted = Preopen("/etc/hosts", str(root.parent / "hosts"), writable)
        stage = Stage(Guest(("t",), preopens=(Preopen("/", str(root)), mounted))).open()
        for name in ("etc/hosts", "./etc//../etc/hosts"):
            number, fd = stage.open_path(ROOT, name, base=READ)
            assert number == 0
            assert stage.read(fd) == b"127.0.0.1 me"
        written = stage.open_path(ROOT, "etc/hosts", base=rights.FD_WRITE)[0]
        assert written == (0 if writable else errno.ROFS)
        assert stage.open_path(ROOT, "etc/hosts", oflags=DIRECTORY, base=READ)[0] == errno.NOTDIR
        assert stage.open_path(ROOT, "etc/hosts/", base=READ)[0] != 0
        exclusive = stage.open_path(ROOT, "etc/hosts", oflags=CREAT | EXCL, base=READ)[0]
        assert exclusive == errno.EXIST
        at = stage.room(64)
        stage.ok("path_filestat_get", ROOT, 1, *stage.path("etc/hosts"), at)
        assert (stage.memory[at + 16], stage.u64(at + 32)) == (4, 12)
    (root.parent / "hosts").unlink()
    (root.parent / "hosts").write_text("another")
    assert stage.open_path(ROOT, "etc/hosts", base=READ)[0] == errno.NOTCAPABLE


def test_a_preopen_that_is_not_there(root: Path) -> None:
    with pytest.raises(RunError, match=r"cannot open .*missing for the guest's /x"):
        Stage(Guest(("t",), preopens=(Preopen("/x", str(root / "missing")),))).open()
