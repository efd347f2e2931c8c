"""Containers whose entrypoint is a Linux program: made, started and removed by runc.

runc ends once it has made a process; the process becomes the shim's own child, since the shim is
its subreaper, and is awaited like any other. Each call of runc is awaited, too.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from wasmimg_images.errors import HostError, RunError
from wasmimg_shim.children import Children, exit_status
from wasmimg_shim.linux.oom import OomWatch
from wasmimg_shim.loop import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_shim.shim_log import ShimLog
    from wasmimg_shim.stdio import Stdio

PROGRAM = "runc"


class Runc:
    """runc's command line, for one container."""

    def __init__(
        self, children: Children, root: str, bundle: str, container: str, *, systemd: bool = False
    ) -> None:
        """`systemd`: its cgroup is to be a scope, as the form of its `cgroupsPath` says."""
        self._children = children
        self._root = root
        self._driver = ("--systemd-cgroup",) if systemd else ()
        self._log = f"{bundle}/runc.log"
        self.bundle = bundle
        self.container = container

    async def run(self, *arguments: str, stdio: tuple[int, int, int] | None = None) -> None:
        """Run one command; raises RunError with runc's own last words if it fails."""
        with suppress(FileNotFoundError):
            os.unlink(self._log)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        words = [PROGRAM, *self._driver, "--root", self._root, "--log", self._log]
        words += ["--log-format", "json"]
        try:
            code = await self._children.run(
                [*words, *arguments], stdio or (null, null, null), environment()
            )
        except FileNotFoundError as error:
            raise HostError(
                f"{PROGRAM} is missing: it runs the Linux programs of images",
                hint="install the package runc",
            ) from error
        finally:
            os.close(null)
        if code:
            raise RunError(self._last_words(arguments[0], code))

    async def output(self, *arguments: str) -> bytes:
        """Run one command and return what it wrote to its standard output."""
        out = os.memfd_create("runc", os.MFD_CLOEXEC)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            await self.run(*arguments, stdio=(null, out, null))
            return os.pread(out, os.fstat(out).st_size, 0)
        finally:
            os.close(null)
            os.close(out)

    def _last_words(self, command: str, code: int) -> str:
        words = f"{PROGRAM} {command} failed with status {code}"
        with suppress(OSError), open(self._log, encoding="utf-8", errors="replace") as log:
            for line in log:
                with suppress(ValueError):
                    entry: object = json.loads(line)
                    match entry:
                        case {"level": "error" | "fatal", "msg": str(message)}:
                            words = message  # it begins with "runc create failed: "
                        case _:
                            pass
        return words


def environment() -> dict[str, str]:
    """Give runc the shim's environment but for the service manager's socket.

    An engine that is a service of systemd's has NOTIFY_SOCKET; runc would wait at start for the
    container to say there that it is ready (runc, notify_socket.go).
    """
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}


def _read_pid(path: str) -> int:
    with open(path) as file:
        return int(file.read())


class _RuncProcess:
    """A process that runc made: once it exists it is the shim's child."""

    def __init__(self, runc: Runc, children: Children) -> None:
        self._runc = runc
        self._children = children
        self._pid = 0
        self._pidfd = -1

    @property
    def pid(self) -> int:
        """The process in the host's numbers; 0 as long as there is none."""
        return self._pid

    def _found(self, pid_file: str) -> None:
        self._pid = _read_pid(pid_file)
        os.unlink(pid_file)
        self._pidfd = self._children.expect(self._pid)

    def kill(self, number: int) -> None:
        """Send a signal to the process."""
        if self._pidfd < 0:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._pidfd, number)

    async def kill_all(self, number: int) -> None:
        """Send a signal to every process of the container."""
        await self._runc.run("kill", "--all", self._runc.container, str(number))

    async def wait(self) -> int:
        """Wait for the process's end and reap it."""
        status = await self._children.wait(self._pid, self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        return exit_status(status)

    async def pids(self) -> list[int]:
        """Ask runc for the processes of the container."""
        listed: object = json.loads(
            await self._runc.output("ps", "--format", "json", self._runc.container)
        )
        if not isinstance(listed, list):
            return [self._pid]
        return [pid for pid in cast("list[object]", listed) if isinstance(pid, int)]

    def oom_kills(self) -> int:
        """Count none: it is the container's init that is asked."""
        return 0

    async def ran_out_of_memory(self) -> bool:
        """Tell at once that nobody watches."""
        return False


class LinuxInit(_RuncProcess):
    """A container's init, made by `runc create`; satisfies task.Runner."""

    def __init__(self, runc: Runc, children: Children, log: ShimLog) -> None:
        super().__init__(runc, children)
        self._log = log
        self._memory: OomWatch | None = None

    async def create(self, stdio: Stdio) -> None:
        """Make the container; init waits for start()."""
        pid_file = f"{self._runc.bundle}/init.pid"
        arguments = ("create", "--bundle", self._runc.bundle, "--pid-file", pid_file)
        try:
            with self._children.inheriting():
                await self._runc.run(*arguments, self._runc.container, stdio=stdio.fds)
                self._found(pid_file)
        except BaseException:
            await self.clean_up()
            raise
        try:
            self._memory = OomWatch.of(self.pid)
        except (OSError, HostError) as error:
            self._log.warning("memory is not watched", container=self._runc.container, error=error)

    async def start(self) -> None:
        """Let the program run."""
        await self._runc.run("start", self._runc.container)

    def oom_kills(self) -> int:
        """Count what the kernel has killed in the container's cgroup."""
        return self._memory.kills if self._memory is not None else 0

    async def ran_out_of_memory(self) -> bool:
        """Wait until memory has run out once more; False where nobody would tell."""
        while self._memory is not None:
            await readable(self._memory.fd)
            if self._memory.ran_out():
                return True
        return False

    async def clean_up(self) -> None:
        """Remove the container with all that runc made for it; nothing to do if it is gone."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        with suppress(RunError):
            await self._runc.run("delete", "--force", self._runc.container)


class LinuxExec(_RuncProcess):
    """A further process in a container, made by `runc exec`; satisfies task.Runner."""

    def __init__(
        self, runc: Runc, children: Children, name: str, process: bytes, stdio: Stdio
    ) -> None:
        """`process` is the OCI process as JSON."""
        super().__init__(runc, children)
        self._base = f"{runc.bundle}/exec-{name}"
        self._process = process
        self._stdio = stdio

    async def start(self) -> None:
        """Run the program in the container."""
        spec, pid_file = f"{self._base}.json", f"{self._base}.pid"
        _write_private(spec, self._process)
        words: Sequence[str] = ("--process", spec, "--pid-file", pid_file, "--detach")
        try:
            with self._children.inheriting():
                await self._runc.run("exec", *words, self._runc.container, stdio=self._stdio.fds)
                self._found(pid_file)
        finally:
            os.unlink(spec)

    async def clean_up(self) -> None:
        """Do nothing: an exec leaves nothing behind."""


def _write_private(path: str, data: bytes) -> None:
    """Write for this user only: the environment of a process may hold secrets."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CLOEXEC, 0o600)

    with open(path, "wb", opener=opener) as file:
        file.write(data)
