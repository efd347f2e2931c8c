from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from wasmimg_images.errors import HostError, InvalidInput, RunError
from wasmimg_shim import codecache, compilation
from wasmimg_shim.codecache import CodeCache, cache_key
from wasmimg_shim.compilation import compile_child
from wasmimg_shim.engine import Engine, load_engine

KEY = "ab" * 32


class Compiler:
    """An engine whose compiler does what a test says, in the child."""

    name, version = "test", "1.0"

    def __init__(self, compiling: Callable[[bytes], bytes]) -> None:
        self.compile = compiling

    def fingerprint(self) -> str:
        return "test 1.0"


def content(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


def memory_file(module: bytes) -> int:
    fd = os.memfd_create("module")
    os.write(fd, module)
    return fd


def compiled(compiling: Callable[[bytes], bytes], module: bytes = b"module") -> bytes:
    fd = memory_file(module)
    try:
        return compile_child(Compiler(compiling), fd).wait()  # type: ignore[arg-type] # load is not called
    finally:
        os.close(fd)


def test_what_is_stored_is_found(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "made" / "code")
    assert cache.lookup(KEY) is None
    assert content(cache.store(KEY, b"code")) == b"code"
    found = cache.lookup(KEY)
    assert found is not None
    assert content(found) == b"code"
    assert content(cache.store(KEY, b"other")) == b"other"
    assert stat.S_IMODE((tmp_path / "made" / "code").stat().st_mode) == 0o700
    (file,) = (tmp_path / "made" / "code").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["file mode", "folder mode", "link", "folder link", "folder"])
def test_what_others_could_have_written_is_not_used(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "code"
    cache = CodeCache(folder)
    os.close(cache.store(KEY, b"code"))
    file = folder / f"{KEY}.code"
    match how:
        case "file mode":
            file.chmod(0o622)
        case "folder mode":
            folder.chmod(0o770)
        case "link":
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
        case "folder link":
            folder.rename(tmp_path / "moved")
            folder.symlink_to(tmp_path / "moved")
        case _:
            file.unlink()
            file.mkdir()
    assert cache.lookup(KEY) is None


@pytest.mark.root
def test_the_code_of_another_user_is_not_used(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "code")
    os.close(cache.store(KEY, b"code"))
    os.chown(tmp_path / "code" / f"{KEY}.code", 12345, -1)
    assert cache.lookup(KEY) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    cache = CodeCache(tmp_path / "code")

    def fail(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(codecache.os, "fsync", fail)
    with pytest.raises(HostError, match=os.strerror(number)):
        cache.store(KEY, b"code")
    assert list((tmp_path / "code").iterdir()) == []


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir(mode=0o777)
    (tmp_path / "code").chmod(0o777)
    with pytest.raises(HostError) as caught:
        CodeCache(tmp_path / "code").store(KEY, b"code")
    assert caught.value.hint


def test_a_key_depends_on_engine_and_module() -> None:
    engine: Engine = Compiler(bytes)  # type: ignore[assignment] # load is not called
    other = load_engine()
    keys = {cache_key(engine, "aa"), cache_key(engine, "ab"), cache_key(other, "aa")}
    assert len(keys) == 3
    assert all(len(key) == 64 for key in keys)


def test_the_child_gives_what_the_engine_gives() -> None:
    engine = load_engine()
    module = bytes(wasmtime.wat2wasm("(module)"))
    fd = memory_file(module)
    assert compile_child(engine, fd).wait() == engine.compile(module)
    os.close(fd)


def test_the_child_says_what_is_broken() -> None:
    engine = load_engine()
    fd = memory_file(b"\0asm\1\0\0\0\xff\xff")
    with pytest.raises(InvalidInput, match="the module is broken"):
        compile_child(engine, fd).wait()
    os.close(fd)


def test_the_child_runs_with_no_rights() -> None:
    def look(_module: bytes) -> bytes:
        status = Path("/proc/self/status").read_text()
        wanted = {"Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs", "Threads"}
        lines = [line for line in status.splitlines() if line.split(":")[0] in wanted]
        links = Path("/proc/net/route").read_text().splitlines()[1:]
        fds = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:5])
        return "\n".join([*lines, f"routes {len(links)}", *fds]).encode()

    secret = os.open("/etc/passwd", os.O_RDONLY)
    try:
        seen = compiled(look).decode()
    finally:
        os.close(secret)
    assert "NoNewPrivs:\t1" in seen
    assert "/etc/passwd" not in seen
    assert "Threads:\t1" in seen
    if os.geteuid() == 0:
        assert "Uid:\t65534\t65534\t65534\t65534" in seen
        assert "CapEff:\t0000000000000000" in seen
        assert "CapPrm:\t0000000000000000" in seen
        assert "routes 0" in seen


def test_limits_stop_a_compiler_that_runs_away(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = dict(compilation.LIMITS)
    monkeypatch.setattr(
        compilation, "LIMITS", tuple({**limits, compilation.resource.RLIMIT_CPU: 1}.items())
    )

    def spin(_module: bytes) -> bytes:
        while True:
            pass

    began = time.monotonic()
    with pytest.raises(RunError, match="signal") as caught:
        compiled(spin)
    assert caught.value.hint
    assert time.monotonic() - began < 60


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = dict(compilation.LIMITS)
    monkeypatch.setattr(
        compilation, "LIMITS", tuple({**limits, compilation.resource.RLIMIT_AS: 1 << 30}.items())
    )
    with pytest.raises(InvalidInput, match="too much memory"):
        compiled(lambda _: bytes(2 << 30))


def test_a_compiler_that_crashes() -> None:
    with pytest.raises(RunError, match="signal 11"):
        compiled(lambda _: os.kill(os.getpid(), 11) or b"")  # type: ignore[func-returns-value] # returns None
    with pytest.raises(RunError, match="status 9"):
        compiled(lambda _: os._exit(9))


def test_nothing_of_the_child_stays() -> None:
    before = set(os.listdir("/proc/self/fd"))
    compiled(lambda module: module * 2)
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_no_thread_is_started_by_an_engine_that_compiled_nothing() -> None:
    program = (
        "import os; from wasmimg_shim.engine import load_engine; load_engine();"
        "print(len(os.listdir('/proc/self/task')))"
    )  # in a process of its own: the test runner may have threads
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"1\n"
