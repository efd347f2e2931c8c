"""A machine with containerd in it and nothing above: `containerd_host(release)`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wasmimg_testing.machines import launchers
from wasmimg_testing.machines.machine import Done, Machine, machine
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path

    from wasmimg_testing.machines.release import Release

LOG = "/var/log/containerd.log"


class ContainerdHost:
    """containerd as Debian has it; `machine` is what it runs in."""

    def __init__(self, on: Machine) -> None:
        self.machine = on
        self._daemon: subprocess.Popen[bytes] | None = None

    def ctr(self, *words: str | Path, stdin: bytes = b"", timeout: float = 120) -> Done:
        """Run a `ctr` command to its end."""
        return self.machine.run("ctr", *words, stdin=stdin, timeout=timeout)

    def load(self, archive: Path) -> None:
        """Import and unpack the images of an archive on the host that runs the tests."""
        target = self.machine.path("/tmp/images.tar")
        target.write_bytes(archive.read_bytes())
        self.ctr("images", "import", "--all-platforms", "/tmp/images.tar").well()
        target.unlink()

    def log(self) -> str:
        """Give what containerd has written, and shims through it."""
        return self.machine.path(LOG).read_text(errors="replace")

    def start(self) -> None:
        """Run containerd."""
        daemon = self._daemon = self.machine.serve(LOG, "containerd")
        until(lambda: self._answers() or daemon.poll() is not None, "containerd answers")
        assert daemon.poll() is None, self.log()[-3000:]

    def stop(self) -> None:
        """End containerd as a service manager does, and wait for its end."""
        assert self._daemon is not None
        self.machine.run("pkill", "-TERM", "-x", "containerd").well()
        self._daemon.wait(60)
        self._daemon = None

    def restart(self) -> None:
        """End containerd, not its containers, and run it anew."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        socket = self.machine.path("/run/containerd/containerd.sock")
        return socket.exists() and self.ctr("version").code == 0


@contextlib.contextmanager
def containerd_host(release: Release, *, shim: bool = True) -> Generator[ContainerdHost]:
    """Run a machine with containerd until the block ends; `shim` as for `docker_host`."""
    with machine(release) as on:
        if shim:
            launchers.write(on)
        host = ContainerdHost(on)
        host.start()
        yield host
