from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_shim.children import Children, exit_status
from wasmimg_shim.linux import libc
from wasmimg_shim.loop import Loop, sleep

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def loop() -> Iterator[Loop]:
    def fail(error: Exception) -> None:
        raise error

    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    made = Loop(fail)
    yield made
    made.close()
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def streams() -> tuple[int, int, int]:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return null, null, null


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def alive(pid_file: Path) -> bool:
    text = pid_file.read_text().strip() if pid_file.exists() else ""
    return not text or Path(f"/proc/{text}").exists()


def test_programs_end_with_their_codes(loop: Loop) -> None:
    children = Children(loop)
    codes: list[int] = []
    fds = streams()

    async def run(script: str) -> None:
        codes.append(await children.run(["sh", "-c", script], fds, os.environ))

    async def check() -> None:
        jobs = [loop.spawn(run(script)) for script in ("exit 0", "exit 7", "kill -9 $$")]
        for job in jobs:
            await job.join()
        with pytest.raises(FileNotFoundError):
            await children.run(["/nowhere/at-all"], fds, {})

    done = loop.spawn(check())
    loop.run()
    os.close(fds[0])
    assert done.finished.is_set
    assert sorted(codes) == [-9, 0, 7]


def test_a_program_has_default_signals(loop: Loop, tmp_path: Path) -> None:
    children, fds = Children(loop), streams()
    loop.on_signal(signal.SIGTERM, lambda: None)
    script = f"exec grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status > {tmp_path}/out"

    async def check() -> None:
        assert await children.run(["sh", "-c", script], fds, os.environ) == 0

    loop.spawn(check())
    loop.run()
    os.close(fds[0])
    masks = {
        line.split(":")[0]: int(line.split()[1], 16)
        for line in (tmp_path / "out").read_text().splitlines()
    }
    for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD):
        assert not (masks["SigBlk"] | masks["SigIgn"]) & 1 << (number - 1)


def test_an_inherited_process_keeps_its_status_for_who_expects_it(
    loop: Loop, tmp_path: Path
) -> None:
    children, fds = Children(loop), streams()
    # The outer shell ends first, like runc; then its child, which has become ours.
    script = (
        f"sh -c 'echo $$ > {tmp_path}/pid; while kill -0 $PPID; do :; done; exit 3' &"
        f" while [ ! -s {tmp_path}/pid ]; do :; done"
    )
    statuses: list[int] = []

    async def check() -> None:
        with children.inheriting():
            await children.run(["sh", "-c", script], fds, os.environ)
            pid = int((tmp_path / "pid").read_text())
            while not is_zombie(pid):
                await sleep(0.001)
            pidfd = children.expect(pid)
        statuses.append(await children.wait(pid, pidfd))
        os.close(pidfd)

    loop.spawn(check())
    loop.run()
    os.close(fds[0])
    assert [exit_status(status) for status in statuses] == [3]


def test_orphans_that_nobody_expects_are_reaped(loop: Loop, tmp_path: Path) -> None:
    children, fds = Children(loop), streams()

    async def check() -> None:
        script = f"sh -c 'echo $$ > {tmp_path}/pid; exit 3' &"
        await children.run(["sh", "-c", script], fds, os.environ)
        while alive(tmp_path / "pid"):
            await sleep(0.001)

    done = loop.spawn(check())
    loop.run()
    os.close(fds[0])
    assert done.finished.is_set


@pytest.mark.parametrize(("wait_status", "status"), [(0, 0), (42 << 8, 42), (9, 137), (15, 143)])
def test_statuses_are_reported_as_containers_do(wait_status: int, status: int) -> None:
    assert exit_status(wait_status) == status
