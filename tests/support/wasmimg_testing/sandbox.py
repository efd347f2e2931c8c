"""Bundles made on the fly, and containers whose program is a Python function of the test.

The function runs in the sandbox as a guest would, so it may import nothing; what it returns or
raises comes back through a pipe as JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wasmimg_shim import sandbox
from wasmimg_shim.bundle import Bundle
from wasmimg_shim.linux.caps import NAMES

PATIENCE = 20.0
Configuration = dict[str, Any]
DOCKER_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def capabilities(*names: str) -> dict[str, list[str]]:
    return {kind: list(names) for kind in ("bounding", "effective", "permitted")}


def configuration(cgroup: str) -> Configuration:
    """A configuration like that of `docker run`, with no seccomp and no limits."""
    flags = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": {
            "args": ["/app.wasm"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": capabilities(*DOCKER_CAPABILITIES),
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": flags},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*flags, "ro"]},
            {
                "destination": "/sys/fs/cgroup",
                "type": "cgroup",
                "source": "cgroup",
                "options": ["ro", *flags],
            },
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": flags},
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": [*flags, "mode=1777", "size=1048576"],
            },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                {"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network", "cgroup")
            ],
            "resources": {},
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READONLY),
        },
    }


class Function:
    """A Program that calls a function and writes what comes of it to standard output."""

    def __init__(self, run: Callable[[], object], load: Callable[[], None] | None = None) -> None:
        self._run = run
        self._load = load

    def load(self) -> None:
        if self._load is not None:
            self._load()

    def run(self) -> int:
        os.write(1, json.dumps(self._run()).encode())
        return 0


class Ended(NamedTuple):
    """How a container ended; `status` is negative for a signal."""

    status: int
    output: bytes
    errors: bytes
    oom_kills: int

    def value(self) -> Any:
        assert self.status == 0, self.errors
        return json.loads(self.output)


class Boxes:
    """Containers of one test: made here, and removed with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cgroup = f"/wasmimg-test-{os.getpid()}-{folder.name}"
        self.configuration = configuration(self.cgroup)
        self.bundle = folder / "bundle"
        self.rootfs = self.bundle / "rootfs"
        self.rootfs.mkdir(parents=True)
        self.children: list[sandbox.Child] = []

    def load(self) -> Bundle:
        (self.bundle / "config.json").write_text(json.dumps(self.configuration))
        return Bundle.load(str(self.bundle))

    def spawn(
        self,
        program: sandbox.Program,
        stdio: tuple[int, int, int] | None = None,
        keep: tuple[int, ...] = (),
    ) -> sandbox.Child:
        with open(os.devnull, "r+b", buffering=0) as null:
            given = stdio or (null.fileno(), null.fileno(), 2)
            child = sandbox.spawn(self.load(), given, program, keep=keep)
        self.children.append(child)
        return child

    def confirmed(self, program: sandbox.Program, **options: Any) -> sandbox.Child:
        child = self.spawn(program, **options)
        assert select.select([child.status_fd], [], [], PATIENCE)[0], "init says nothing"
        child.confirm()
        return child

    def run(self, run: Callable[[], object], load: Callable[[], None] | None = None) -> Ended:
        with contextlib.ExitStack() as files:
            null, output, errors = (
                files.enter_context(open(fd, "r+b", buffering=0))
                for fd in (os.open(os.devnull, os.O_RDWR), memory_file(), memory_file())
            )
            stdio = (null.fileno(), output.fileno(), errors.fileno())
            child = self.confirmed(Function(run, load), stdio=stdio)
            child.start()
            status = reap(child)
            ended = Ended(status, content(stdio[1]), content(stdio[2]), child.oom_kills())
        child.cleanup()
        return ended

    def value(self, run: Callable[[], object]) -> Any:
        return self.run(run).value()

    def close(self) -> None:
        for child in self.children:
            if child.pidfd >= 0:
                with contextlib.suppress(ProcessLookupError):
                    child.kill(signal.SIGKILL)
                reap(child)
            child.cleanup()


def memory_file() -> int:
    return os.memfd_create("stdio", os.MFD_CLOEXEC)


def content(fd: int) -> bytes:
    return os.pread(fd, 1 << 20, 0)


def reap(child: sandbox.Child) -> int:
    """Wait for init's end; its exit status, or its signal as a negative number."""
    assert select.select([child.pidfd], [], [], PATIENCE)[0], "init does not end"
    try:
        result = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    except ChildProcessError:
        return 0
    assert result is not None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def attempt(call: Callable[[], object]) -> str:
    """The name of the error that a call ends with, or "done"."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def status_field(name: str) -> str:
    """A line of the calling process's /proc/self/status."""
    with open("/proc/self/status") as text:
        for line in text:
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
    raise AssertionError(name)


def bits(value: str) -> set[str]:
    """The names in a capability set of /proc/self/status."""
    mask = int(value, 16)
    return {name for number, name in enumerate(NAMES) if mask >> number & 1}


def cgroup_folders(name: str) -> Iterator[Path]:
    return Path("/sys/fs/cgroup").glob(f"*/{name.lstrip('/')}")


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, asking a hundred times a second."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.01)
    return True
