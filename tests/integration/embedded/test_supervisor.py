"""A supervisor under real trouble: what goes wrong with one container is that container's alone."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import lifecycle
from wasmimg_compose.container import ContainerSpec, Healthcheck, RestartPolicy
from wasmimg_images.home import Home
from wasmimg_shim import client
from wasmimg_testing.embedded import Machine, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.network]
FOREVER = "while :; do sleep 0.1; done"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Machine]:
    """Give a machine whose home is a file system of 40 MiB."""
    data = tmp_path / "small"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", data], check=True)
    machine = Machine(Home(data, tmp_path / "run", tmp_path / "cache"))
    try:
        yield machine
        (data / "filler").unlink(missing_ok=True)
        machine.clear()
        until(lambda: not machine.leftovers(), "a clean host")
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


def fill(folder: Path) -> None:
    """Take all the space that there is, the last bytes too."""
    with (folder / "filler").open("wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(size))


def is_full(folder: Path) -> bool:
    try:
        (folder / "probe").write_bytes(b"x")
    except OSError as error:
        return error.errno == errno.ENOSPC
    (folder / "probe").unlink()
    return False


def log_of(machine: Machine) -> str:
    path = machine.home.run / "projects" / "run" / "log"
    return path.read_text() if path.exists() else ""


def children(process: int) -> list[int]:
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(pid) for pid in file.read().split()]


def test_an_end_and_an_answer_at_once(machine: Machine) -> None:
    """The end closes the probe, whose answer comes after it in the same batch of events."""
    other = machine.shell(FOREVER)
    check = Healthcheck(("CMD", "wasmimg-probe", "http", "http://127.0.0.1:80/"), interval=60)
    silent = "while :; do nc -l -p 80 -e sleep 1000; done"
    record = machine.shell(silent, healthcheck=check)
    supervisor = machine.supervisor()
    assert supervisor is not None
    with contextlib.closing(client.PendingWait(record.shim, record.id)) as end:
        until(lambda: bool(children(supervisor)), "a probe")
        for process in (supervisor, *children(supervisor)):
            os.kill(process, signal.SIGSTOP)
        os.kill(record.pid, signal.SIGKILL)
        end.result(30)  # as the supervisor would hear of it, which asked before us
        for probe in children(supervisor):
            os.kill(probe, signal.SIGKILL)
        os.kill(supervisor, signal.SIGCONT)
    assert lifecycle.wait(machine.home, record.id) == 137
    assert machine.supervisor() == supervisor
    assert log_of(machine) == ""
    assert lifecycle.inspect(machine.home, other.id).state == "running"


def test_restarts_go_on_after_the_disk_was_full(small: Machine) -> None:
    record = small.shell("echo try; sleep 0.5; exit 1", restart=RestartPolicy("always"))
    supervisor = small.supervisor()
    fill(small.home.data)
    until(lambda: "No space left on device" in log_of(small), "trouble")
    assert is_full(small.home.data)
    (small.home.data / "filler").unlink()
    before = small.records.load(record.id).restarts
    until(lambda: small.records.load(record.id).restarts > before + 1, "two restarts")
    assert small.supervisor() == supervisor


@pytest.mark.parametrize("interval", [0.0, 0.001])
def test_a_short_interval_leaves_the_others_their_supervisor(
    machine: Machine, interval: float
) -> None:
    """The probe can't even begin, and is due again at once."""
    check = Healthcheck(("CMD", "true"), interval=interval, timeout=0.001)
    hasty = machine.shell(FOREVER, healthcheck=check)
    (machine.home.run / "bundles" / hasty.id / "config.json").unlink()
    other = machine.start(ContainerSpec("busy", command=("false",)))
    assert lifecycle.wait(machine.home, other.id) == 1
    lifecycle.remove(machine.home, hasty.id, force=True)
    assert machine.supervisor() is None
