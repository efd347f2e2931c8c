"""A machine's own cgroup: one folder in each v1 hierarchy of the host."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path

from wasmimg_testing.waiting import until

ROOT = Path("/sys/fs/cgroup")


class MachineCgroup:
    """Everything that runs in a machine is below these folders, which makes its end certain."""

    def __init__(self, name: str) -> None:
        self.folders = [place / name for place in _hierarchies()]
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
            self._fill(folder)

    @staticmethod
    def _fill(folder: Path) -> None:
        """Give a cpuset the whole machine: a new one is empty, and takes no process."""
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists():
                (folder / name).write_text((folder.parent / name).read_text())
        if (folder / "cpuset.cpus").exists():
            (folder / "cgroup.clone_children").write_text("1")

    def entering(self) -> str:
        """Give shell code that moves the shell in."""
        return "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in self.folders)

    def processes(self) -> list[int]:
        """List everything that runs in the machine, in the host's numbers."""
        folder = self.folders[0]
        files = [folder / "cgroup.procs", *folder.rglob("cgroup.procs")]
        found: set[int] = set()
        for file in files:
            with contextlib.suppress(OSError):
                found.update(map(int, file.read_text().split()))
        return sorted(found)

    def remove(self) -> None:
        """Remove the folders, once the last process has gone."""
        until(lambda: not self.processes(), "the machine's processes have ended")
        for folder in self.folders:
            for below, _, _ in os.walk(folder, topdown=False):
                until(partial(_removed, below), f"{below} is free", 10)


def _hierarchies() -> list[Path]:
    found: list[Path] = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, _ = line.split(":", 2)
        if number != "0":
            found.append(ROOT / names.removeprefix("name="))
    return found


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
