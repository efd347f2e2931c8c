"""Limits hold, are reported, and go with the container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wasmimg_images.errors import RunError
from wasmimg_shim import sandbox
from wasmimg_shim.linux.cgroup import Cgroup
from wasmimg_shim.spec import DeviceRule, Resources
from wasmimg_testing.sandbox import (
    Boxes,
    Function,
    attempt,
    cgroup_folders,
    eventually,
    reap,
)

pytestmark = pytest.mark.root
MIB = 1 << 20
#: where version 2 is mounted: beside version 1, or alone
UNIFIED = next(path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.isdir(path))


def hog() -> object:
    return len(b"x" * (256 * MIB))


def test_memory_above_the_limit_kills_and_is_reported(boxes: Boxes) -> None:
    boxes.configuration["linux"]["resources"] = {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}
    ended = boxes.run(hog)
    assert ended.status == -signal.SIGKILL
    assert ended.oom_kills == 1


def test_memory_below_the_limit_does_not(boxes: Boxes) -> None:
    boxes.configuration["linux"]["resources"] = {"memory": {"limit": 512 * MIB}}
    ended = boxes.run(hog)
    assert (ended.value(), ended.oom_kills) == (256 * MIB, 0)


def forks(count: int) -> list[str]:
    return [attempt(fork) for _ in range(count)]


def fork() -> None:
    if not os.fork():
        signal.pause()
        os._exit(0)


def test_more_processes_than_the_limit_are_refused(boxes: Boxes) -> None:
    boxes.configuration["linux"]["resources"] = {"pids": {"limit": 3}}
    assert boxes.value(lambda: forks(4)) == ["done", "done", "EAGAIN", "EAGAIN"]


def test_all_processes_end_with_init(boxes: Boxes) -> None:
    child = boxes.confirmed(Function(lambda: (forks(3), signal.pause())))
    child.start()
    assert eventually(lambda: len(child.cgroup.processes()) == 4)
    child.kill(signal.SIGKILL)
    assert reap(child) == -signal.SIGKILL
    assert child.cgroup.processes() == ()


def test_the_processor_quota_is_what_was_asked_for(boxes: Boxes) -> None:
    boxes.configuration["linux"]["resources"] = {
        "cpu": {"quota": 20_000, "period": 100_000, "shares": 512, "cpus": "0"}
    }

    def busy() -> object:
        # counted by the process itself: what other programs take does not matter
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        return time.process_time(), sorted(os.sched_getaffinity(0))

    used, processors = boxes.value(busy)
    assert processors == [0]
    assert used < 0.35


def test_the_devices_allowed_are_those_of_the_rules(boxes: Boxes) -> None:
    boxes.configuration["process"]["capabilities"]["effective"].append("CAP_MKNOD")
    boxes.configuration["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}

    def run() -> object:
        opened = [
            attempt(lambda n=n: os.close(os.open(f"/dev/{n}", os.O_RDWR))) for n in ("null", "zero")
        ]
        mode = 0o600 | 0o060000  # a block device: the host's disk
        return opened, attempt(lambda: os.mknod("/dev/disk", mode, os.makedev(254, 0)))

    assert boxes.value(run) == [["done", "done"], "EPERM"]


def test_a_program_sees_its_own_cgroups(boxes: Boxes) -> None:
    boxes.configuration["linux"]["resources"] = {"pids": {"limit": 9}}

    def run() -> object:
        with open("/sys/fs/cgroup/pids/pids.max") as text, open("/proc/self/cgroup") as own:
            limit = text.read().strip()
            paths = [line.split(":")[2].strip() for line in own if ":pids:" in line]
        return limit, paths, attempt(lambda: os.mkdir("/sys/fs/cgroup/pids/more"))

    assert boxes.value(run) == ["9", ["/"], "EROFS"]


def test_a_cgroup_in_use_is_refused_and_left_alone(boxes: Boxes) -> None:
    child = boxes.confirmed(Function(lambda: 1))
    with pytest.raises(RunError, match="has processes in it"):
        sandbox.spawn(boxes.load(), (0, 1, 2), Function(lambda: 2))
    assert child.cgroup.processes() == (child.pid,)


def test_a_crashed_runs_cgroup_is_made_anew(boxes: Boxes) -> None:
    stale = Path("/sys/fs/cgroup/pids") / boxes.cgroup.lstrip("/")
    stale.mkdir()
    (stale / "pids.max").write_text("1")
    (stale / "inner").mkdir()
    assert boxes.value(lambda: forks(2)) == ["done", "done"]


def test_leftovers_of_a_killed_shim_are_removed_by_the_bundle(boxes: Boxes) -> None:
    child = boxes.confirmed(Function(signal.pause))
    child.start()
    sandbox.remove_leftovers(str(boxes.bundle))
    assert reap(child) == -signal.SIGKILL
    assert not list(cgroup_folders(boxes.cgroup))
    assert not (boxes.bundle / sandbox.CGROUP_RECORD).exists()
    sandbox.remove_leftovers(str(boxes.bundle))


def test_nothing_recorded_is_nothing_to_remove(tmp_path: Path) -> None:
    assert Cgroup.recall(str(tmp_path / "none")).folders == ()
    sandbox.remove_leftovers(str(tmp_path))


def test_a_relative_path_is_below_the_shims_own_cgroup(boxes: Boxes) -> None:
    boxes.configuration["linux"]["cgroupsPath"] = boxes.cgroup.lstrip("/")
    child = boxes.confirmed(Function(lambda: 1))
    own = Path("/proc/self/cgroup").read_text()
    for line in Path(f"/proc/{child.pid}/cgroup").read_text().splitlines():
        number, name, path = line.split(":", 2)
        here = next(
            entry.split(":", 2)[2] for entry in own.splitlines() if entry.startswith(f"{number}:")
        )
        if name:
            assert path == f"{here.rstrip('/')}{boxes.cgroup}"


def test_version_2_folders(boxes: Boxes) -> None:
    """On a hybrid host the controllers are elsewhere; the folder's life is the same."""
    path = f"{UNIFIED}{boxes.cgroup}-parent/inner"
    cgroup = Cgroup((("", path),))
    cgroup.create(str(boxes.folder / "record"))
    words = (
        "from wasmimg_shim.linux.cgroup import Cgroup; Cgroup.recall({!r}).enter(); print(input())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", words.format(str(boxes.folder / "record"))],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        eventually(lambda: bool(cgroup.processes()))
        assert cgroup.processes() == (child.pid,)
        assert cgroup.oom_kills() == 0
        cgroup.remove()
        assert child.wait() == -signal.SIGKILL
    os.rmdir(os.path.dirname(path))


def test_rules_on_devices_of_version_2(boxes: Boxes) -> None:
    """They need no controller's file, so that they hold in a hybrid host's unified hierarchy, too."""
    cgroup = Cgroup((("", f"{UNIFIED}{boxes.cgroup}"),))
    record = str(boxes.folder / "record")
    cgroup.create(record)
    try:
        kmsg = DeviceRule(allow=True, type="c", major=1, minor=11, access="r")
        cgroup.limit(Resources(devices=(DeviceRule(allow=False), kmsg)))
        script = (
            "import os, sys\n"
            "from wasmimg_shim.linux.cgroup import Cgroup\n"
            "Cgroup.recall(sys.argv[1]).enter()\n"
            "for path, flags in (('/dev/null', 2), ('/dev/kmsg', 0), ('/dev/kmsg', 1),"
            " ('/dev/fuse', 2), ('/dev/full', 2)):\n"
            "    try:\n"
            "        os.close(os.open(path, flags))\n"
            "        print('opened')\n"
            "    except OSError as error:\n"
            "        print(error.errno)\n"
        )
        words = [sys.executable, "-c", script, record]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["opened", "opened", "1", "1", "opened"]
    finally:
        cgroup.remove()
