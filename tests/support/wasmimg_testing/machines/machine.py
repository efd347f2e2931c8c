"""A Debian release that runs beside the host: its own namespaces of every kind but user, and cgroup.

What runs in it is all ended by ending its first process; its network has nothing but loopback and
what engines make. Nothing in it can be seen by another machine, so any number run side by side.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_testing.machines import installation, root, state
from wasmimg_testing.machines.cgroups import MachineCgroup

if TYPE_CHECKING:
    from collections.abc import Generator

    from wasmimg_testing.machines.release import Release

BOOT = Path(__file__).with_name("boot.py")
KINDS = ("mount", "pid", "net", "uts", "ipc", "cgroup")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}


class Done(NamedTuple):
    """How a command ended; both streams as text."""

    code: int
    out: str
    err: str

    def well(self) -> str:
        """Check that it worked and give its output without the last line's end."""
        assert self.code == 0, self
        return self.out.strip()


class Commands:
    """Whatever commands can be run in: each is worded as one for the host that runs the tests."""

    name: str

    def words(self, *words: str | Path, **environment: str) -> list[str]:
        """Word a command for the host that runs one in the machine."""
        raise NotImplementedError

    def run(
        self, *words: str | Path, stdin: bytes = b"", timeout: float = 120, **environment: str
    ) -> Done:
        """Run a command to its end; AssertionError with what it has said where it hangs."""
        process = self.start(*words, **environment)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = _last_words(process)
            raise AssertionError(f"{words} hangs in {self.name}: {out!r} {err!r}") from None
        return Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def start(self, *words: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command with pipes for its streams."""
        return subprocess.Popen(
            self.words(*words, **environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _last_words(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Take what a killed command has said: what it started may hold its streams open for ever."""
    try:
        return process.communicate(timeout=5)
    except subprocess.TimeoutExpired as late:
        return late.stdout or b"", late.stderr or b""


class Machine(Commands):
    """A running machine; paths in it are the machine's own where nothing else is said."""

    def __init__(self, name: str, cgroup: MachineCgroup) -> None:
        self.name = name
        #: its first process, in the host's numbers
        self.first = 0
        self.cgroup = cgroup
        self._daemons: list[subprocess.Popen[bytes]] = []

    def words(self, *words: str | Path, **environment: str) -> list[str]:
        """Word a command for the host that runs one in the machine."""
        kinds = [f"--{kind}" for kind in KINDS]
        script = f'{self.cgroup.entering()}; exec nsenter --target={self.first} "$@"'
        # nsenter has a child for the pid namespace, which is to end when somebody ends nsenter.
        tied = ["setpriv", "--pdeathsig", "KILL", "--", "env", "-i"]
        env = [f"{name}={value}" for name, value in {**ENVIRONMENT, **environment}.items()]
        return ["sh", "-c", script, "enter", *kinds, "--", *tied, *env, *map(str, words)]

    def serve(self, log: str, *words: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a daemon whose words go to a file in the machine."""
        with self.path(log).open("ab") as output:
            daemon = subprocess.Popen(
                self.words(*words, **environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._daemons.append(daemon)
        return daemon

    def wait(self) -> None:
        """Wait for the daemons, once the first process has ended and they with it."""
        for daemon in self._daemons:
            daemon.wait()

    def path(self, path: str) -> Path:
        """Give the host's path of a file in the machine."""
        return Path(f"/proc/{self.first}/root{path}")

    @contextlib.contextmanager
    def network(self) -> Generator[None]:
        """Be in the machine's network, as far as this thread opens sockets in the block."""
        from wasmimg_shim.linux import libc

        own = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        theirs = os.open(f"/proc/{self.first}/ns/net", os.O_RDONLY)
        try:
            libc.setns(theirs, libc.CLONE_NEWNET)
            try:
                yield
            finally:
                libc.setns(own, libc.CLONE_NEWNET)
        finally:
            os.close(own)
            os.close(theirs)


@contextlib.contextmanager
def machine(release: Release) -> Generator[Machine]:
    """Run a machine until the block ends; nothing of it is left then.

    It ends with the calling thread at the latest. What machines of killed processes have left,
    folders and empty cgroups, is taken away first.
    """
    base = root.made(release)
    layers = [str(installation.installed(base)), str(base)]
    with state.folder(release.suite) as place:
        cgroup = MachineCgroup(place.name)
        made = Machine(place.name, cgroup)
        try:
            with _booted(cgroup, place, layers) as made.first:
                yield made
        finally:
            made.wait()
            cgroup.remove()


@contextlib.contextmanager
def _booted(cgroup: MachineCgroup, place: Path, layers: list[str]) -> Generator[int]:
    """Run a machine's first process, which ends with this one at the latest."""
    kinds = [f"--{kind}" for kind in KINDS]
    inside = ["unshare", *kinds, "--propagation", "private", "--fork", "--kill-child"]
    script = f'{cgroup.entering()}; exec setpriv --pdeathsig KILL "$@"'
    python = [sys.executable, str(BOOT), str(place), *layers]
    command = ["sh", "-c", script, "boot", *inside, "--", *python]
    keeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    try:
        assert keeper.stdout.readline() == b"ready\n", "the machine did not boot"
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text()
        yield int(children)
    finally:
        keeper.kill()
        keeper.wait()
        keeper.stdout.close()
