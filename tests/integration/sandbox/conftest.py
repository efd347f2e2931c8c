"""Every test's containers, and the proof that nothing is left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_testing.descriptors import descriptors
from wasmimg_testing.sandbox import Boxes, cgroup_folders


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def mounts_below(folder: Path) -> list[str]:
    """List this test's mounts; other tests' containers may come and go meanwhile."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    open_before, processes = descriptors(), children()
    made = Boxes(tmp_path)
    yield made
    made.close()
    assert not list(cgroup_folders(made.cgroup))
    assert mounts_below(tmp_path) == []
    assert children() == processes
    assert descriptors() <= open_before
