"""Loggers as programs of their own, started and awaited by a loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from wasmimg_images.errors import RunError
from wasmimg_shim import logger as loggers_module
from wasmimg_shim.children import Children
from wasmimg_shim.logger import Logger, Loggers
from wasmimg_shim.loop import Loop, writable
from wasmimg_shim.shim_log import ShimLog
from wasmimg_shim.stdio import Stdio, StdioPaths
from wasmimg_shim.stdio_address import Address, Scheme, parse
from wasmimg_testing.waiting import until

READY = "exec 5>&-; "


class Bench:
    """A loop with loggers; `script` makes a logger of a shell script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failures: list[Exception] = []
        self.loop = Loop(self.failures.append)
        (folder / "log").touch()
        self._log = ShimLog(str(folder))
        self.loggers = Loggers(self.loop, Children(self.loop), self._log, "ns", 30)

    def script(self, text: str, scheme: str = "binary", query: str = "") -> str:
        path = self.folder / "a logger"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return f"{scheme}://{path}{query}".replace(" ", "%20")

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        job = self.loop.spawn(coroutine)
        self.loop.run()
        assert job.finished.is_set
        assert self.failures == []

    def said(self) -> str:
        """What the log has; it is closed."""
        self._log.close()
        return (self.folder / "log").read_text()

    def close(self) -> None:
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def close(logger: Logger) -> None:
    for fd in logger.outputs:
        os.close(fd)


def test_a_logger_gets_both_streams_its_arguments_and_who_it_is_for(bench: Bench) -> None:
    out = bench.folder / "out"
    script = f"{READY} {{ env; echo $#: $@; cat <&3; cat <&4; }} > {out}"
    address = parse(bench.script(script, query="?--a=b+c&d=e"))

    async def check() -> None:
        logger = await bench.loggers.start(address, "c1")
        for fd, text in zip(logger.outputs, (b"said\n", b"warned\n"), strict=True):
            os.write(fd, text)
        close(logger)
        await logger.drain()
        await logger.drain()

    bench.run(check())
    lines = out.read_text().splitlines()
    assert lines[-3:] == ["4: --a b c d e", "said", "warned"]
    own = {line for line in lines[:-3] if not line.startswith(("PWD=", "SHLVL=", "_="))}
    assert own == {"CONTAINER_ID=c1", "CONTAINER_NAMESPACE=ns"}
    assert children() == ""


def test_a_logger_has_its_own_descriptors_and_no_other(bench: Bench) -> None:
    before = {fd for fd in descriptors() if os.path.exists(f"/proc/self/fd/{fd}")}
    out = bench.folder / "out"
    program = bench.folder / "look"
    program.write_text(
        f"#!{sys.executable} -IS\n"
        "import os\n"
        "found = [os.path.realpath(f'/proc/self/fd/{number}') for number in range(64)]\n"
        f"open({str(out)!r}, 'w').write(' '.join(found))\n"
        "os.close(5)\n"
        "os.read(3, 1)\n"
    )
    program.chmod(0o755)

    async def check() -> None:
        logger = await bench.loggers.start(Address(Scheme.BINARY, str(program)), "c1")
        close(logger)
        await logger.drain()

    bench.run(check())
    kinds = [os.path.basename(path).partition(":")[0] for path in out.read_text().split()]
    assert kinds[:6] == ["null", "null", "null", "pipe", "pipe", "pipe"]
    others = {number for number, kind in enumerate(kinds) if number > 5 and not kind.isdigit()}
    assert others <= {int(fd) for fd in before if os.get_inheritable(int(fd))}, "of pytest's parent"


@pytest.mark.parametrize(
    ("script", "scheme", "why"),
    [
        ("exit 3", "binary", "ended with status 3 before it was ready"),
        ("exit 0", "binary", "ended with status 0 before it was ready"),
        ("kill -9 $$", "binary", "was killed by signal 9 before it was ready"),
        ("sleep 1000", "binary", "was not ready after 0.2 s"),
        ("trap '' TERM; sleep 1000", "binary-v2", "was not ready after 0.2 s"),
        (f"{READY} sleep 1000", "binary-v2", "closed descriptor 5 without a byte"),
        ("exit 3", "binary-v2", "ended with status 3 before it was ready"),
    ],
)
def test_a_logger_that_is_never_ready_is_told_and_leaves_nothing(
    bench: Bench, script: str, scheme: str, why: str
) -> None:
    before = descriptors()
    address = parse(bench.script(script, scheme))
    loggers = bench.loggers
    if "not ready after" in why:
        loggers = loggers._replace(ready_seconds=0.2)

    async def check() -> None:
        with pytest.raises(RunError, match=why) as refused:
            await loggers.start(address, "c1")
        assert str(bench.folder) in refused.value.message

    bench.run(check())
    assert descriptors() == before
    assert children() == ""


def test_what_a_failed_logger_has_started_goes_with_it(bench: Bench) -> None:
    pid = bench.folder / "pid"
    address = parse(bench.script(f"sleep 1000 & echo $! > {pid}; exit 3"))

    async def check() -> None:
        with pytest.raises(RunError, match="ended with status 3 before"):
            await bench.loggers.start(address, "c1")

    bench.run(check())
    left = Path(f"/proc/{int(pid.read_text())}/cmdline")
    until(lambda: not left.exists() or not left.read_bytes(), "it has ended")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.write_text("#!/bin/sh\n"), "Permission denied"),
        (lambda path: path.mkdir(), "Permission denied"),
    ],
)
def test_a_logger_that_cannot_run_is_told(
    bench: Bench, make: Callable[[Path], object], why: str
) -> None:
    before = descriptors()
    path = bench.folder / "it"
    make(path)

    async def check() -> None:
        with pytest.raises(RunError, match=f"{path}: {why}"):
            await bench.loggers.start(Address(Scheme.BINARY, str(path)), "c1")

    bench.run(check())
    assert descriptors() == before


def test_a_byte_says_that_the_second_kind_is_ready(bench: Bench) -> None:
    address = parse(bench.script(f"printf x >&5; {READY} cat <&3", "binary-v2"))

    async def check() -> None:
        logger = await bench.loggers.start(address, "c1")
        close(logger)
        await logger.drain()

    bench.run(check())


def test_what_is_written_after_a_loggers_death_is_thrown_away(bench: Bench) -> None:
    before = descriptors()
    address = parse(bench.script(f"printf x >&5; {READY} exit 4", "binary-v2"))

    async def write(fd: int) -> None:
        os.set_blocking(fd, False)
        rest = memoryview(bytes(1 << 20))  # many times what a pipe holds
        while rest:
            await writable(fd)
            with suppress(BlockingIOError):
                rest = rest[os.write(fd, rest) :]

    async def check() -> None:
        logger = await bench.loggers.start(address, "c1")
        for fd in logger.outputs:
            await write(fd)
        close(logger)
        await logger.drain()

    bench.run(check())
    assert 'msg="a logger ended with status 4: what should go to it is thrown away"' in bench.said()
    assert descriptors() == before


def test_a_logger_that_goes_on_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers_module, "DRAIN_SECONDS", 0.1)
    monkeypatch.setattr(loggers_module, "TERM_SECONDS", 0.1)
    address = parse(bench.script(f"trap '' TERM; {READY} sleep 1000; sleep 1000"))

    async def check() -> None:
        logger = await bench.loggers.start(address, "c1")
        close(logger)
        await logger.drain()

    bench.run(check())
    assert children() == ""
    assert "a logger does not end: it is killed" in bench.said()


def test_one_logger_serves_both_streams_and_two_one_each(bench: Bench) -> None:
    before = descriptors()
    out = bench.folder / "out"
    count = f"{READY} echo one >> {out}; cat <&3 >> {out}; cat <&4 >> {out}"
    uri = bench.script(count)

    async def check(paths: StdioPaths) -> None:
        stdio = await Stdio.open(paths, "c1", bench.loggers)
        os.write(stdio.fds[1], b"said\n")
        os.write(stdio.fds[2], b"warned\n")
        await stdio.drain()

    bench.run(check(StdioPaths(stdout=uri, stderr=uri)))
    assert out.read_text() == "one\nsaid\nwarned\n"
    bench.run(check(StdioPaths(stdout=uri, stderr=f"file://{bench.folder}/err")))
    assert out.read_text() == "one\nsaid\nwarned\none\nsaid\n"
    assert (bench.folder / "err").read_text() == "warned\n"
    out.unlink()
    bench.run(check(StdioPaths(stdout=uri, stderr=f"{uri}?x")))
    assert sorted(out.read_text().split()) == ["one", "one", "said", "warned"]
    assert descriptors() == before


def test_a_stream_that_cannot_be_opened_ends_the_logger_of_the_other(bench: Bench) -> None:
    before = descriptors()
    uri = bench.script(f"{READY} sleep 1000")

    async def check() -> None:
        paths = StdioPaths(stdout=uri, stderr=str(bench.folder))
        with pytest.raises(IsADirectoryError):
            await Stdio.open(paths, "c1", bench.loggers)
        paths = StdioPaths(stdout=uri, stderr="binary:///nowhere/at-all")
        with pytest.raises(RunError, match="/nowhere/at-all"):
            await Stdio.open(paths, "c1", bench.loggers)

    bench.run(check())
    assert descriptors() == before
    assert children() == ""
