"""The disk of a virtual machine, made once from a release's root, and never written to."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wasmimg_testing.machines import root

if TYPE_CHECKING:
    from wasmimg_testing.machines.release import Release

MAKE_DISK = Path(__file__).with_name("make-disk.sh")


def made(release: Release) -> Path:
    """Give the folder that `make-disk.sh` fills, made first where there is none; in a minute or so.

    It is named by its recipe and the root's, and appears under its name only when it is whole.
    AssertionError has the log where it can't be made.
    """
    base = root.made(release)
    recipe = hashlib.sha256(MAKE_DISK.read_bytes()).hexdigest()[:16]
    disk = base.with_name(f"{base.name}-disk-{recipe}")
    with root.locked(base.with_name(f"{release.suite}-disk.lock")):
        if not disk.is_dir():
            _make(base, disk)
    return disk


def _make(base: Path, disk: Path) -> None:
    partial = disk.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    begin = time.monotonic()
    print(f"machines: {base.name}: a disk", file=sys.stderr, flush=True)
    command = ["unshare", "--mount", "--propagation", "private", MAKE_DISK, base, partial]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    partial.rename(disk)
    taken = time.monotonic() - begin
    print(f"machines: {disk.name}: made in {taken:.0f} s", file=sys.stderr, flush=True)


def of_folder(folder: Path, image: Path) -> None:
    """Put a folder into an image of a file system, for a second disk."""
    size = sum(file.lstat().st_size + 4096 for file in folder.rglob("*"))
    image.touch()
    # room for inodes and for the file system's own
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", folder, image]
    subprocess.run([*words, f"{size // 1024 * 5 // 4 + 8192}"], check=True)
