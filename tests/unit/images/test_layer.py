from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput, WasmimgError
from wasmimg_images.layer import unpack
from wasmimg_images.tarstream import entries
from wasmimg_testing.archives import Entry, folder, hard_link, symlink, tar

LIMIT = 1 << 30
OPAQUE = "trusted.overlay.opaque"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def apply(target: Path, *content: Entry, lower: list[Path] | None = None) -> None:
    unpack(io.BytesIO(tar(content)), target, lower=lower or [], limit=LIMIT)


def test_files_folders_and_links_come_out_as_they_went_in(target: Path) -> None:
    apply(
        target,
        folder("etc", 0o750),
        Entry("etc/passwd", data=b"root", mode=0o640, mtime=1234),
        hard_link("etc/again", "etc/passwd"),
        symlink("link", "etc/passwd"),
        symlink("outside", "/etc/passwd"),
        Entry("fifo", tarfile.FIFOTYPE),
    )
    passwd = target / "etc/passwd"
    assert passwd.read_bytes() == b"root"
    assert stat.S_IMODE(passwd.stat().st_mode) == 0o640
    assert passwd.stat().st_mtime == 1234
    assert passwd.samefile(target / "etc/again")
    assert (target / "link").readlink() == Path("etc/passwd")
    assert (target / "outside").readlink() == Path("/etc/passwd")
    assert stat.S_ISFIFO((target / "fifo").stat().st_mode)
    assert stat.S_IMODE((target / "etc").stat().st_mode) == 0o750
    assert (target / "etc").stat().st_mtime == 1000


@pytest.mark.root
def test_owners_and_set_user_id_are_kept(target: Path) -> None:
    apply(
        target,
        Entry("su", data=b"x", mode=0o4755, owner=(0, 12)),
        Entry("app", data=b"x", mode=0o2755, owner=(1000, 1000)),
    )
    assert stat.S_IMODE((target / "su").stat().st_mode) == 0o4755
    app = (target / "app").stat()
    assert (app.st_uid, app.st_gid, stat.S_IMODE(app.st_mode)) == (1000, 1000, 0o2755)


@pytest.mark.root
def test_capabilities_are_kept_and_forged_overlay_attributes_are_not(target: Path) -> None:
    capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    attributes = (("security.capability", capability), ("user.note", "hi"))
    forged = (("trusted.overlay.redirect", "/etc"), ("user.overlay.opaque", "y"))
    apply(target, Entry("ping", data=b"x", attributes=attributes + forged))
    path = target / "ping"
    assert os.getxattr(path, "security.capability") == capability.encode()
    assert set(os.listxattr(path)) <= {"security.capability", "user.note"}


@pytest.mark.root
def test_whiteouts_take_overlayfs_form(target: Path) -> None:
    apply(
        target,
        Entry("etc/.wh.gone"),
        folder("var"),
        Entry("var/.wh..wh..opq"),
        Entry("var/new", data=b"1"),
        Entry(".wh..wh.plnk"),
    )
    gone = (target / "etc/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(target / "var", OPAQUE) == b"y"
    assert sorted(p.name for p in target.iterdir()) == ["etc", "var"]


@pytest.mark.root
@pytest.mark.parametrize("first", ["whiteout", "folder"])
def test_a_folder_deleted_and_made_anew_hides_the_old_one(target: Path, first: str) -> None:
    pair = [Entry(".wh.data"), folder("data")]
    apply(target, *(pair if first == "whiteout" else reversed(pair)))
    assert (target / "data").is_dir()
    assert os.getxattr(target / "data", OPAQUE) == b"y"


@pytest.mark.root
def test_a_whiteout_does_not_delete_this_layers_own_file(target: Path) -> None:
    apply(target, Entry("a", data=b"1"), Entry(".wh.a"))
    assert (target / "a").read_bytes() == b"1"


@pytest.mark.root
def test_an_implied_folder_is_as_the_layer_below_has_it(tmp_path: Path, target: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "tmp").mkdir(parents=True)
    (lower / "tmp").chmod(0o1777)
    os.chown(lower / "tmp", 5, 6)
    apply(target, Entry("tmp/x"), lower=[lower])
    found = (target / "tmp").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o1777, 5, 6)


def test_later_entries_replace_earlier_ones(target: Path) -> None:
    apply(
        target,
        Entry("a", data=b"old"),
        Entry("a", data=b"new"),
        Entry("b", data=b"file"),
        folder("b"),
        Entry("b/c"),
        folder("d"),
        Entry("d/e"),
        Entry("d", data=b"now a file"),
        symlink("f", "a"),
        Entry("f", data=b"no longer a link"),
    )
    assert (target / "a").read_bytes() == b"new"
    assert (target / "b/c").exists()
    assert (target / "d").read_bytes() == b"now a file"
    assert (target / "f").read_bytes() == b"no longer a link"


def test_links_on_the_way_lead_to_places_in_the_image(target: Path) -> None:
    apply(
        target,
        folder("usr"),
        folder("usr/bin"),
        symlink("bin", "/usr/bin"),
        symlink("up", "../../../usr"),
        Entry("bin/tool", data=b"1"),
        Entry("up/share", data=b"2"),
    )
    assert (target / "usr/bin/tool").read_bytes() == b"1"
    assert (target / "usr/share").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([Entry("../evil", data=b"x")], "leads out of the image"),
        ([Entry("a/../../evil", data=b"x")], "leads out of the image"),
        ([hard_link("x", "/etc/passwd")], "absolute"),
        ([hard_link("x", "../evil")], "leads out of the image"),
        ([hard_link("x", "missing")], "not in this layer"),
        ([hard_link("x", "no/such/folder")], "not in this layer"),
        ([symlink("l", "/etc"), hard_link("x", "l/passwd")], "not in this layer"),
        ([folder("d"), hard_link("x", "d")], "not permitted"),
        ([Entry("null", tarfile.CHRTYPE)], "device node"),
        ([Entry("disk", tarfile.BLKTYPE)], "device node"),
        ([Entry("f"), Entry("f/g")], "is no directory"),
        ([symlink("l", "l"), Entry("l/x")], "too many symbolic links"),
        ([Entry("x", owner=(1 << 33, 0))], "does not exist"),
        ([Entry(".wh..", data=b"")], "is no whiteout"),
        ([Entry(".wh...", data=b"")], "is no whiteout"),
        ([Entry(".", data=b"x")], "the root must be a directory"),
        ([Entry("n" * 300)], "File name too long"),
        ([Entry("x", b"Z")], "not supported"),
        ([symlink("x", "")], "x"),
    ],
)
def test_what_is_hostile_is_refused_by_name(
    target: Path, content: list[Entry], message: str
) -> None:
    with pytest.raises(WasmimgError) as caught:
        apply(target, *content)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_linked_folder_that_leads_out_stays_in_the_image(target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    apply(target, symlink("l", str(outside)), Entry("l/evil", data=b"x"))
    assert list(outside.iterdir()) == []
    assert (target / str(outside).lstrip("/") / "evil").read_bytes() == b"x"


@pytest.mark.parametrize("length", [1, 100, 512, 700, 1500])
def test_a_cut_archive_is_refused(target: Path, length: int) -> None:
    whole = tar([Entry("aa", data=b"x" * 1000), Entry("b")])
    with pytest.raises(InvalidInput):
        unpack(io.BytesIO(whole[:length]), target, limit=LIMIT)


def test_more_than_the_limit_is_refused(target: Path) -> None:
    whole = tar([Entry("a", data=bytes(600)), Entry("b", data=bytes(600))])
    with pytest.raises(InvalidInput, match="larger than it allows"):
        unpack(io.BytesIO(whole), target, limit=1000)


def test_a_huge_header_is_refused_without_reading_it() -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40

    class Endless:
        given = 0

        def read(self, size: int, /) -> bytes:
            first = header.tobuf(tarfile.GNU_FORMAT) if not self.given else b""
            self.given += size
            return first + b"1" * (size - len(first))

    source = Endless()
    with pytest.raises(InvalidInput, match="header"):
        list(entries(source))
    assert source.given < 16 << 20


# Names that meet each other, climb and point to each other.
NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", ".wh.a", "l"]), min_size=1, max_size=4)
PATHS = NAMES.map("/".join)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE],
)
ENTRIES = st.builds(
    Entry,
    PATHS,
    KINDS,
    st.just(b""),
    PATHS | PATHS.map(lambda path: f"/{path}") | st.just("/../../../canary"),
    mode=st.sampled_from([0o755, 0o4644, 0]),
    owner=st.just((0, 0)),
    mtime=st.integers(-(1 << 40), 1 << 70),
    attributes=st.just(()),
)


@settings(max_examples=200)
@given(st.lists(ENTRIES, min_size=1, max_size=8))
def test_nothing_ever_leaves_the_folder(content: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as outer:
        root = Path(outer) / "deep/root"
        root.mkdir(parents=True)
        canary = Path(outer) / "canary"
        canary.write_bytes(b"alive")
        before = canary.stat()
        try:
            apply(root, *content)
        except WasmimgError as error:
            assert "\n" not in error.message
        assert sorted(p.name for p in Path(outer).iterdir()) == ["canary", "deep"]
        assert [p.name for p in root.parent.iterdir()] == ["root"]
        after = canary.stat()
        assert (after.st_mode, after.st_nlink, after.st_mtime_ns, after.st_uid) == (
            before.st_mode,
            before.st_nlink,
            before.st_mtime_ns,
            before.st_uid,
        )
        assert canary.read_bytes() == b"alive"


def test_an_unknown_error_names_the_entry(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(WasmimgError) as caught:
        apply(target, Entry("a/file", data=b"x"))
    assert caught.value.exit_code == 7
    assert "'a/file'" in caught.value.message
