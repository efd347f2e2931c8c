from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.guest import Guest, Preopen
from wasmimg_shim.wasi import errno, fdtable, filestat, rights
from wasmimg_testing.wasi import MEMORY, Stage

CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
ROOT = 3  # the first preopen


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(Guest(("t",), preopens=(Preopen("/", str(tmp_path)),))).open()


def fdstat(stage: Stage, fd: int) -> tuple[int, int, int, int]:
    at = stage.room(24)
    stage.ok("fd_fdstat_get", fd, at)
    kind, flags, base, inheriting = struct.unpack_from("<BxH4xQQ", stage.memory, at)
    return kind, flags, base, inheriting


def created(stage: Stage, name: str, content: bytes = b"") -> int:
    number, fd = stage.open_path(ROOT, name, oflags=CREAT)
    assert number == 0
    if content:
        assert stage.write(fd, content) == len(content)
        stage.ok("fd_seek", fd, 0, 0, stage.room())
    return fd


def test_what_is_written_is_read(stage: Stage, tmp_path: Path) -> None:
    fd = created(stage, "f")
    assert stage.write(fd, b"one ", b"two ", b"three") == 13
    assert (tmp_path / "f").read_bytes() == b"one two three"
    at = stage.room()
    stage.ok("fd_seek", fd, 4, 0, at)
    assert stage.u64(at) == 4
    assert stage.read(fd, 3) == b"two"
    stage.ok("fd_tell", fd, at)
    assert stage.u64(at) == 7
    stage.ok("fd_seek", fd, -5, 2, at)
    assert stage.read(fd) == b"three"
    assert stage.read(fd) == b""
    assert stage.call("fd_seek", fd, -1, 0, at) == errno.INVAL
    assert stage.call("fd_seek", fd, 0, 3, at) == errno.INVAL


def test_reading_and_writing_at_an_offset_moves_nothing(stage: Stage) -> None:
    fd = created(stage, "f", b"0123456789")
    count, buffer = stage.room(), stage.room(4)
    vector = stage.put(struct.pack("<IIII", buffer, 2, buffer + 2, 2))
    stage.ok("fd_pread", fd, vector, 2, 3, count)
    assert (stage.u32(count), stage.memory[buffer : buffer + 4]) == (4, b"3456")
    stage.ok("fd_pwrite", fd, stage.iovecs(b"XY"), 1, 8, count)
    assert stage.read(fd) == b"01234567XY"
    assert stage.call("fd_pread", fd, vector, 2, 1 << 63, count) == errno.INVAL


def test_sizes(stage: Stage, tmp_path: Path) -> None:
    fd = created(stage, "f", b"0123456789")
    stage.ok("fd_filestat_set_size", fd, 4)
    assert (tmp_path / "f").read_bytes() == b"0123"
    stage.ok("fd_allocate", fd, 0, 100)
    assert (tmp_path / "f").stat().st_size == 100
    assert stage.call("fd_allocate", fd, 0, 0) == errno.INVAL
    for function in ("fd_sync", "fd_datasync"):
        stage.ok(function, fd)
    stage.ok("fd_advise", fd, 0, 10, 3)
    assert stage.call("fd_advise", fd, 0, 10, 6) == errno.INVAL


def test_status_and_times(stage: Stage, tmp_path: Path) -> None:
    fd = created(stage, "f", b"12345")
    at = stage.room(64)
    stage.ok("fd_filestat_set_times", fd, 1_000_000_001, 2_000_000_002, 1 | 4)
    stage.ok("fd_filestat_get", fd, at)
    device, inode, kind, links, size, accessed, modified, _ = struct.unpack_from(
        "<QQB7xQQQQQ", stage.memory, at
    )
    real = (tmp_path / "f").stat()
    assert (device, inode, kind, links, size) == (real.st_dev, real.st_ino, 4, 1, 5)
    assert (accessed, modified) == (1_000_000_001, 2_000_000_002)
    stage.ok("fd_filestat_set_times", fd, 0, 5, 4)
    assert (tmp_path / "f").stat().st_atime_ns == 1_000_000_001
    stage.ok("fd_filestat_set_times", fd, 0, 0, 2 | 8)
    assert (tmp_path / "f").stat().st_mtime > 1_000_000
    for both in (3, 12, 16):
        assert stage.call("fd_filestat_set_times", fd, 0, 0, both) == errno.INVAL


def test_flags_can_be_changed_where_linux_can(stage: Stage) -> None:
    number, fd = stage.open_path(ROOT, "f", oflags=CREAT, fdflags=1)
    assert number == 0
    assert fdstat(stage, fd)[:2] == (fdtable.REGULAR_FILE, 1)
    stage.write(fd, b"ab")
    stage.ok("fd_seek", fd, 0, 0, stage.room())
    stage.write(fd, b"cd")
    stage.ok("fd_fdstat_set_flags", fd, 4)
    assert fdstat(stage, fd)[1] == 4
    assert stage.call("fd_fdstat_set_flags", fd, 16) == errno.NOTSUP
    assert stage.call("fd_fdstat_set_flags", fd, 32) == errno.INVAL


def test_rights_only_shrink(stage: Stage) -> None:
    fd = created(stage, "f", b"data")
    base = fdstat(stage, fd)[2]
    stage.ok("fd_fdstat_set_rights", fd, base & ~rights.FD_WRITE, 0)
    assert stage.call("fd_write", fd, stage.iovecs(b"x"), 1, stage.room()) == errno.NOTCAPABLE
    assert stage.call("fd_fdstat_set_rights", fd, base, 0) == errno.NOTCAPABLE
    assert stage.read(fd) == b"data"


def test_renumber_moves_and_closes(stage: Stage) -> None:
    first, second = created(stage, "a", b"A"), created(stage, "b", b"B")
    stage.ok("fd_renumber", first, second)
    assert stage.read(second) == b"A"
    assert stage.call("fd_close", first) == errno.BADF
    assert stage.call("fd_renumber", second, 99) == errno.BADF
    assert stage.call("fd_renumber", second, ROOT) == errno.NOTSUP
    stage.ok("fd_renumber", second, second)
    assert created(stage, "c") == first  # the lowest free number


def test_every_function_on_a_closed_descriptor(stage: Stage) -> None:
    at = stage.room(64)
    calls = {
        "fd_advise": (0, 0, 0), "fd_allocate": (0, 1), "fd_close": (), "fd_datasync": (),
        "fd_fdstat_get": (at,), "fd_fdstat_set_flags": (0,), "fd_fdstat_set_rights": (0, 0),
        "fd_filestat_get": (at,), "fd_filestat_set_size": (0,),
        "fd_filestat_set_times": (0, 0, 0), "fd_pread": (at, 1, 0, at),
        "fd_prestat_get": (at,), "fd_prestat_dir_name": (at, 8), "fd_pwrite": (at, 1, 0, at),
        "fd_read": (at, 1, at), "fd_readdir": (at, 8, 0, at), "fd_renumber": (0,),
        "fd_seek": (0, 0, at), "fd_sync": (), "fd_tell": (at,), "fd_write": (at, 1, at),
    }  # fmt: skip
    assert {name: stage.call(name, 77, *rest) for name, rest in calls.items()} == dict.fromkeys(
        calls, errno.BADF
    )


def test_preopens_tell_their_names(stage: Stage) -> None:
    at = stage.room()
    stage.ok("fd_prestat_get", ROOT, at)
    assert struct.unpack_from("<B3xI", stage.memory, at) == (0, 1)
    stage.ok("fd_prestat_dir_name", ROOT, at, 1)
    assert stage.memory[at : at + 1] == b"/"
    assert stage.call("fd_prestat_dir_name", ROOT, at, 0) == errno.NAMETOOLONG
    assert stage.call("fd_prestat_get", 0, at) == errno.BADF
    assert stage.call("fd_prestat_get", ROOT + 1, at) == errno.BADF


def listing(stage: Stage, fd: int, length: int) -> list[tuple[bytes, int]]:
    """Read a folder the way the C library does, with a buffer of this length."""
    found, cookie = [], 0
    buffer, used = stage.room(length), stage.room()
    while True:
        stage.ok("fd_readdir", fd, buffer, length, cookie, used)
        at, end = buffer, buffer + stage.u32(used)
        progress = False
        while at + 24 <= end:
            next_cookie, _, size, kind = struct.unpack_from("<QQIB", stage.memory, at)
            if at + 24 + size > end:
                break
            found.append((bytes(stage.memory[at + 24 : at + 24 + size]), kind))
            cookie, at, progress = next_cookie, at + 24 + size, True
        if stage.u32(used) < length:
            return found
        assert progress


@pytest.mark.parametrize("length", [48, 64, 300, 65536])
def test_folders_are_read_whole_with_any_buffer(stage: Stage, tmp_path: Path, length: int) -> None:
    names = {f"n{number:02}".encode(): 4 for number in range(40)}
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    os.mkfifo(tmp_path / "fifo")
    expected = names | {b".": 3, b"..": 3, b"sub": 3, b"link": 7, b"fifo": 0}
    assert sorted(listing(stage, ROOT, length)) == sorted(expected.items())
    assert stage.call("fd_readdir", 1, 0, 0, 0, stage.room()) in {errno.NOTDIR, errno.NOTCAPABLE}


def test_standard_streams_are_told_apart() -> None:
    reader, writer = os.pipe()
    saved = os.dup(0)
    os.dup2(reader, 0)
    try:
        stage = Stage().open()
        assert fdstat(stage, 0)[0] == fdtable.UNKNOWN
        os.write(writer, b"typed")
        assert stage.read(0) == b"typed"
        assert stage.call("fd_seek", 0, 0, 1, stage.room()) == errno.SPIPE
    finally:
        os.dup2(saved, 0)
        for fd in (reader, writer, saved):
            os.close(fd)


def test_a_reader_that_left_gives_an_error_not_a_signal() -> None:
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    os.close(reader)
    try:
        stage = Stage().open()
    finally:
        os.dup2(saved, 1)
        os.close(writer)
        os.close(saved)
    assert stage.call("fd_write", 1, stage.iovecs(b"x"), 1, stage.room()) == errno.PIPE


@pytest.mark.parametrize(
    ("vector", "count", "result", "expected"),
    [
        (MEMORY - 4, 1, 64, errno.FAULT),
        (0xFFFF_FFF8, 1, 64, errno.FAULT),
        (64, 1, MEMORY - 3, errno.FAULT),
        (64, 1025, 128, errno.INVAL),
        (MEMORY - 8, 2, 64, errno.FAULT),
    ],
)
def test_bad_pointers_lose_no_data(
    stage: Stage, vector: int, count: int, result: int, expected: int
) -> None:
    fd = created(stage, "f", b"kept")
    for function in ("fd_read", "fd_write"):
        assert stage.call(function, fd, vector, count, result) == expected
    wild = stage.put(struct.pack("<II", MEMORY - 2, 3))
    assert stage.call("fd_read", fd, wild, 1, stage.room()) == errno.FAULT
    assert stage.read(fd) == b"kept"


def test_memory_that_grew_is_seen(stage: Stage) -> None:
    fd = created(stage, "f", b"content")
    stage.memory = bytearray(stage.memory) + bytearray(1 << 16)
    vector = stage.put(struct.pack("<II", MEMORY + 16, 7))
    stage.ok("fd_read", fd, vector, 1, MEMORY + 8)
    assert stage.memory[MEMORY + 16 : MEMORY + 23] == b"content"
    assert stage.u32(MEMORY + 8) == 7


@given(st.binary(max_size=300), st.lists(st.integers(0, 64), max_size=8))
def test_gathered_and_scattered_bytes_keep_their_order(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("io")
    stage = Stage(Guest(("t",), preopens=(Preopen("/", str(folder)),))).open()
    parts, at = [], 0
    for cut in cuts:
        parts.append(content[at : at + cut])
        at += cut
    parts.append(content[at:])
    fd = created(stage, "f")
    assert stage.write(fd, *parts) == len(content)
    assert (folder / "f").read_bytes() == content
    for number in range(len(stage.world._table.open)):
        stage.call("fd_close", number)


U64 = st.integers(0, (1 << 64) - 1)


@given(U64, U64, st.integers(0, 7), U64, U64, st.tuples(U64, U64, U64))
def test_a_filestat_record_round_trips(
    device: int, inode: int, kind: int, links: int, size: int, times: tuple[int, int, int]
) -> None:
    packed = filestat.record(device, inode, kind, links, size, times)
    assert len(packed) == 64
    assert struct.unpack("<QQB7xQQQQQ", packed) == (device, inode, kind, links, size, *times)
