from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_shim.linux.oom import OomWatch
from wasmimg_testing.waiting import readable, until

HUNGRY = "import sys; sys.stdin.read(1); data = [b'x' * (1 << 20) for _ in range(200)]"


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    folder = tmp_path / "box"
    folder.mkdir()
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    (folder / "memory.events").write_text("low 0\nmax 0\noom 0\noom_kill 0\n")
    return folder


def test_version_2_tells_of_kills_only(unified: Path) -> None:
    watch = OomWatch.read("0::/box\n", str(unified.parent))
    events = unified / "memory.events"
    try:
        assert not readable(watch.fd, 0)
        events.write_text("low 0\nmax 5\noom 0\noom_kill 0\n")
        assert readable(watch.fd, 5)
        assert (watch.ran_out(), watch.kills) == (False, 0)
        assert not readable(watch.fd, 0)
        events.write_text("low 0\nmax 5\noom 1\noom_kill 2\n")
        assert readable(watch.fd, 5)
        assert (watch.ran_out(), watch.kills) == (True, 2)
        assert not watch.ran_out(), "it has been told"
    finally:
        watch.close()
        watch.close()


def test_kills_before_the_watch_are_none_of_it(unified: Path) -> None:
    (unified / "memory.events").write_text("oom_kill 7\n")
    watch = OomWatch.read("0::/box\n", str(unified.parent))
    assert not watch.ran_out()
    watch.close()


@pytest.mark.parametrize("text", ["0::/gone\n", "1:cpu:/\n"])
def test_what_cannot_be_watched_leaves_nothing_open(unified: Path, text: str) -> None:
    (unified.parent / "cpu").mkdir()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        OomWatch.read(text, str(unified.parent))
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def memory() -> Iterator[Path]:
    """A cgroup of version 1 with 32 MiB."""
    folder = Path(f"/sys/fs/cgroup/memory/wasmimg-oom-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs a memory cgroup of version 1: {error}")
    for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        if (folder / file).exists():
            (folder / file).write_text(str(32 << 20))
    yield folder
    if folder.exists():
        folder.rmdir()


@pytest.mark.root
def test_version_1_tells_of_a_kill(memory: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HUNGRY], stdin=subprocess.PIPE) as process:
        (memory / "cgroup.procs").write_text(str(process.pid))
        watch = OomWatch.of(process.pid)
        assert not readable(watch.fd, 0)
        process.communicate(b"x")
        assert process.returncode == -9
    assert readable(watch.fd, 5)
    assert (watch.ran_out(), watch.kills) == (True, 1)
    assert not readable(watch.fd, 0)
    until(lambda: not (memory / "cgroup.procs").read_text(), "it is empty")
    memory.rmdir()
    assert readable(watch.fd, 5), "the kernel tells of the end, too"
    assert (watch.ran_out(), watch.kills) == (False, 0)
    watch.close()
