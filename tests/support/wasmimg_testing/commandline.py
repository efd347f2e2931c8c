"""The `wasmimg` command as a user has it: a home, a host network of its own, and what is left there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import NamedTuple

from wasmimg_images.home import Home
from wasmimg_testing.waiting import until

CGROUPS = Path("/sys/fs/cgroup")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def says(self, code: int, *words: str) -> None:
        """Check that it failed as documented: the exit code, and one line with all the words."""
        assert "Traceback" not in self.err, self.err
        assert self.code == code, self
        lines = [line for line in self.err.splitlines() if line.startswith("wasmimg: ")]
        assert len(lines) == 1, self.err
        for word in words:
            assert word in lines[0], (word, lines[0])

    def well(self) -> str:
        """Check that it worked and give its output."""
        assert self.code == 0, self
        return self.out.strip()


class CommandLine:
    """`wasmimg` with folders of its own, in a network namespace with nothing but loopback."""

    def __init__(self, home: Home, network: str) -> None:
        self.home = home
        self.network = network
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WASMIMG")},
            "WASMIMG_HOME": str(home.data),
            "WASMIMG_RUN": str(home.run),
            "WASMIMG_CACHE": str(home.cache),
        }

    def __call__(
        self,
        *words: str | Path,
        stdin: bytes = b"",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command to its end."""
        process = self.start(*words, cwd=cwd, env=env)
        try:
            out, err = process.communicate(stdin, timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{words} hangs: {err.decode()}") from None
        return Done(process.returncode, out.decode(), err.decode())

    def start(
        self, *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command, as the leader of a process group."""
        return subprocess.Popen(
            self.on_host(sys.executable, "-m", "wasmimg", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**self.environment, **(env or {})},
            start_new_session=True,
        )

    def on_host(self, *words: str | Path) -> list[str]:
        """Word a command that runs in our network namespace."""
        return ["nsenter", f"--net=/run/netns/{self.network}", "--", *map(str, words)]

    def look(self, *words: str) -> str:
        """Run a host's program in our network and give what it prints, errors included."""
        done = subprocess.run(
            self.on_host(*words), capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout + done.stderr

    # -- what is there

    def processes(self, *marks: str) -> list[int]:
        """List the processes that belong to our run folder and have the marks in their command line."""
        found: list[int] = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                environment, words, groups, stat = (
                    Path(f"/proc/{entry}/{name}").read_bytes()
                    for name in ("environ", "cmdline", "cgroup", "stat")
                )
                ours = str(self.home.run).encode() in environment + words
                ours |= any(name.encode() in groups for name in self.containers())
                if ours and b") Z " not in stat and all(mark.encode() in words for mark in marks):
                    found.append(int(entry))
        return found

    def containers(self) -> list[str]:
        """List the ids of the containers on disk."""
        return os.listdir(self.home.containers) if self.home.containers.is_dir() else []

    def leftovers(self) -> list[str]:
        """Name everything on this host that a container, a network or a supervisor has here."""
        links = self.look("ip", "-brief", "link").splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        places = (str(self.home.run), str(self.home.data))
        found = [f"process {pid}" for pid in self.processes()]
        found += [line for line in links if not line.startswith("lo ")]
        found += [line for line in self.look("nft", "list", "ruleset").splitlines() if line]
        found += [line for line in mounts if any(place in line for place in places)]
        found += [
            str(path)
            for name in ("netns", "bundles", "projects", "networks")
            for path in (self.home.run / name).glob("*")
        ]
        found += [str(path) for path in (self.home.run / "s").glob("*") if path.is_socket()]
        found += [f"container {name}" for name in self.containers()]
        return found

    def is_clean(self) -> None:
        """Wait until nothing is left: a supervisor takes its last container down after the user's command."""
        try:
            until(lambda: not self.leftovers(), "nothing is left", 8)
        except AssertionError:
            left = "\n".join(self.leftovers())
            self.sweep()
            raise AssertionError(f"left:\n{left}") from None

    def sweep(self) -> None:
        """Take away what a failed test has left, so that it fails alone."""
        listed = self("ps", "-aq").out.split()
        if listed:
            self("rm", "-f", "-v", *listed)
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for file in (self.home.run / "networks").glob("*.json"):
            self.look("ip", "link", "delete", json.loads(file.read_text())["bridge"])
            file.unlink()
        self.look("nft", "flush", "ruleset")


@contextlib.contextmanager
def command_line(folder: Path, *, data: Path | None = None, cache: Path) -> Generator[CommandLine]:
    """Make a command line; whatever a test leaves in it is taken away."""
    run = Path(tempfile.mkdtemp(prefix="wasmimg-", dir="/run"))
    subprocess.run(["ip", "netns", "add", run.name], check=True)
    command = CommandLine(Home(data or folder / "data", run, cache), run.name)
    try:
        command.look("ip", "link", "set", "lo", "up")
        yield command
    finally:
        command.sweep()
        subprocess.run(["ip", "netns", "delete", run.name], check=True)
        shutil.rmtree(run, ignore_errors=True)
