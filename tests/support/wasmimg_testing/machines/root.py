"""Roots of Debian releases, each made once and then never written to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from wasmimg_images.home import Home
from wasmimg_testing.machines.release import BOOKWORM, FORKY, TRIXIE

if TYPE_CHECKING:
    from collections.abc import Generator

    from wasmimg_testing.machines.release import Release


def cache() -> Path:
    """Give the folder that keeps roots."""
    return Home.from_environ(os.environ).cache / "machines"


def made(release: Release) -> Path:
    """Give a release's root, made first where there is none; about two minutes.

    A root is named by its recipe and appears under its name only when it is whole. AssertionError
    has the end of the log where it can't be made.
    """
    root = cache() / f"{release.suite}-{release.recipe()}"
    if root.is_dir():
        return root
    with locked(cache() / f"{release.suite}.lock"):
        if not root.is_dir():
            _make(release, root)
    return root


def all_made() -> None:
    """Make every root that is not there yet, all at once: most of it is waiting for a mirror."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(made, (FORKY, TRIXIE, BOOKWORM)))


def _make(release: Release, root: Path) -> None:
    partial = root.with_suffix(".partial")
    log = root.with_suffix(".log")
    shutil.rmtree(partial, ignore_errors=True)
    begin = time.monotonic()
    with log.open("w") as output:
        command = ["unshare", "--mount", "--propagation", "private", *release.words(partial)]
        with subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True) as maker:
            assert maker.stderr is not None
            for line in maker.stderr:
                output.write(line)
                output.flush()
                if line.startswith("machines: "):
                    print(line, end="", file=sys.stderr, flush=True)
    assert maker.returncode == 0, f"{log}: {log.read_text()[-2000:]}"
    partial.rename(root)
    taken = time.monotonic() - begin
    print(f"machines: {release.suite}: made in {taken:.0f} s", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock of a file that is made for it; whoever else wants it waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
