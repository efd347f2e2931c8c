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

RUNTIME = "io.containerd.wasmimg.v1"
PLATFORM = "wasi/wasm"
LOG = "/var/log/containerd.log"


class ContainerdHost:
    """containerd as Debian has it; `machine` is what it runs in."""

    def __init__(self, on: Machine) -> None:
        self.machine = on
        self._daemon: subprocess.Popen[bytes] | None = None

    def ctr(self, *words: str | Path, stdin: bytes = b"", timeout: float = 120) -> Done:
        """Run a `ctr` command to its end."""
        return self.machine.run("ctr", *words, stdin=stdin, timeout=timeout)

    @staticmethod
    def options(*words: str) -> tuple[str, ...]:
        """Put our runtime and platform before the words of a command that makes a container."""
        return ("--runtime", RUNTIME, "--platform", PLATFORM, *words)

    def run(self, *words: str, stdin: bytes = b"", timeout: float = 60) -> Done:
        """Run `ctr run` with our runtime; an image is called as its archive has it: test/NAME."""
        return self.ctr("run", *self._named(words), stdin=stdin, timeout=timeout)

    def create(self, *words: str) -> Done:
        """Run `ctr container create` with our runtime; words as for `run`."""
        return self.ctr("container", "create", "--runtime", RUNTIME, *_full(words))

    def _named(self, words: tuple[str, ...]) -> tuple[str, ...]:
        full = _full(words)
        return ("--runtime", RUNTIME, *full) if "test/busy" in words else self.options(*full)

    def clear(self) -> None:
        """Remove all containers with their tasks."""
        for task in self.ctr("task", "ls", "-q").well().split():
            self.ctr("task", "kill", "-s", "KILL", task)
            self.ctr("task", "delete", "--force", task)
        names = self.ctr("container", "ls", "-q").well().split()
        if names:
            self.ctr("container", "delete", *names).well()

    def load(self, archive: Path) -> None:
        """Import and unpack the images of an archive on the host that runs the tests."""
        target = self.machine.path("/tmp/images.tar")
        target.write_bytes(archive.read_bytes())
        self.ctr("images", "import", "--all-platforms", "/tmp/images.tar").well()
        target.unlink()

    def log(self) -> str:
        """Give what containerd has written, and shims through it."""
        return self.machine.path(LOG).read_text(errors="replace")

    def start(self, **environment: str) -> None:
        """Run containerd, with more in its environment."""
        daemon = self._daemon = self.machine.serve(LOG, "containerd", **environment)
        until(lambda: self._answers() or daemon.poll() is not None, "containerd answers")
        assert daemon.poll() is None, self.log()[-3000:]

    def stop(self) -> None:
        """End containerd as a service manager does, and wait for its end."""
        assert self._daemon is not None
        self.machine.run("pkill", "-TERM", "-x", "containerd").well()
        self._daemon.wait(60)
        self._daemon = None

    def restart(self, **environment: str) -> None:
        """End containerd, not its containers, and run it anew; the environment is as for `start`."""
        self.stop()
        self.start(**environment)

    def _answers(self) -> bool:
        socket = self.machine.path("/run/containerd/containerd.sock")
        return socket.exists() and self.ctr("version").code == 0


def _full(words: tuple[str, ...]) -> tuple[str, ...]:
    """Write the names of images as containerd wants them."""
    return tuple(f"docker.io/{word}:latest" if word.startswith("test/") else word for word in words)


@contextlib.contextmanager
def containerd_host(release: Release, *, shim: bool = True) -> Generator[ContainerdHost]:
    """Run a machine with containerd until the block ends; `shim` as for `docker_host`."""
    with machine(release) as on:
        if shim:
            launchers.write(on)
        host = ContainerdHost(on)
        host.start()
        yield host
