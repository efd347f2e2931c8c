from __future__ import annotations

import os
from pathlib import Path

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.children import Children
from wasmimg_shim.logger import Loggers
from wasmimg_shim.loop import Loop, readable, sleep
from wasmimg_shim.shim_log import ShimLog
from wasmimg_shim.stdio import Stdio, StdioPaths


def open_stdio(paths: StdioPaths) -> Stdio:
    """Open what takes no waiting."""
    loop = Loop(lambda _: None)
    loggers = Loggers(loop, Children(loop), ShimLog("/nowhere"), "ns")
    job = loop.spawn(Stdio.open(paths, "c1", loggers))
    loop.run()
    loop.close()
    joining = job.join()
    with pytest.raises(StopIteration) as result:
        joining.send(None)
    opened = result.value.value
    assert isinstance(opened, Stdio)
    return opened


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_nothing_asked_for_is_the_null_device() -> None:
    stdio = open_stdio(StdioPaths())
    assert {os.readlink(f"/proc/self/fd/{fd}") for fd in stdio.fds} == {"/dev/null"}
    stdio.close()
    stdio.close()


def test_files_are_appended_to_and_made(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before\n")
    stdio = open_stdio(
        StdioPaths(stdout=f"{tmp_path}/out", stderr=f"file://{tmp_path}/logs/err?key=value")
    )
    os.write(stdio.fds[1], b"out\n")
    os.write(stdio.fds[2], b"err\n")
    stdio.close()
    assert (tmp_path / "out").read_text() == "before\nout\n"
    assert (tmp_path / "logs" / "err").read_text() == "err\n"


def test_an_output_fifo_survives_its_reader_and_ends_with_us(tmp_path: Path) -> None:
    path = f"{tmp_path}/out"
    os.mkfifo(path)
    stdio = open_stdio(StdioPaths(stdout=path))
    os.write(stdio.fds[1], b"kept")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 10) == b"kept"
    os.close(reader)
    os.write(stdio.fds[1], b"no SIGPIPE")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    stdio.close()
    assert os.read(reader, 100) == b"no SIGPIPE"
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_an_input_fifo_ends_when_its_first_writer_has_gone(tmp_path: Path) -> None:
    path = f"{tmp_path}/in"
    os.mkfifo(path)
    failures: list[Exception] = []
    loop = Loop(failures.append)
    stdio = open_stdio(StdioPaths(stdin=path))
    stdio.follow(loop)
    os.set_blocking(stdio.fds[0], False)
    ends: list[bytes] = []

    async def reader() -> None:
        await sleep(0)
        with pytest.raises(BlockingIOError):
            os.read(stdio.fds[0], 1)
        os.close(os.open(path, os.O_WRONLY))
        await readable(stdio.fds[0], 5)
        ends.append(os.read(stdio.fds[0], 1))
        stdio.close()

    loop.spawn(reader())
    loop.run()
    loop.close()
    assert (ends, failures) == ([b""], [])


def test_an_input_fifo_ends_when_both_sides_closed_it(tmp_path: Path) -> None:
    path = f"{tmp_path}/in"
    os.mkfifo(path)
    stdio = open_stdio(StdioPaths(stdin=path))
    os.set_blocking(stdio.fds[0], False)
    with pytest.raises(BlockingIOError):
        os.read(stdio.fds[0], 1)
    with open(path, "wb") as writer:
        writer.write(b"data")
    assert os.read(stdio.fds[0], 10) == b"data"
    with pytest.raises(BlockingIOError):
        os.read(stdio.fds[0], 1)
    stdio.close_stdin()
    assert os.read(stdio.fds[0], 1) == b""
    stdio.close()


def test_a_process_reads_its_fifo_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in")
    stdio = open_stdio(StdioPaths(stdin=f"{tmp_path}/in"))
    assert os.get_blocking(stdio.fds[0])
    stdio.close()


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (StdioPaths(stdin="binary:///usr/bin/logger"), "a logger can't be a standard input"),
        (StdioPaths(terminal=True), "terminals are not supported yet"),
        (StdioPaths(stdout="/dev/null", stderr="weird://x"), "weird://x: not an address"),
    ],
)
def test_what_is_not_supported_is_told_and_leaves_nothing_open(paths: StdioPaths, why: str) -> None:
    before = open_descriptors()
    with pytest.raises(InvalidInput, match=why):
        open_stdio(paths)
    assert open_descriptors() == before


def test_a_missing_input_leaves_nothing_open(tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        open_stdio(StdioPaths(stdin=f"{tmp_path}/gone"))
    assert open_descriptors() == before


def test_closing_leaves_nothing_open(tmp_path: Path) -> None:
    for name in ("in", "out", "err"):
        os.mkfifo(tmp_path / name)
    before = open_descriptors()
    stdio = open_stdio(StdioPaths(*(f"{tmp_path}/{name}" for name in ("in", "out", "err"))))
    stdio.release_given()
    stdio.close()
    assert open_descriptors() == before
