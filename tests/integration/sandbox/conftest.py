"""Every test's containers, and the proof that nothing is left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_testing.sandbox import Boxes, cgroup_folders


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    mounts = Path("/proc/self/mountinfo").read_text()
    descriptors, processes = os.listdir("/proc/self/fd"), children()
    made = Boxes(tmp_path)
    yield made
    made.close()
    assert not list(cgroup_folders(made.cgroup))
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert children() == processes
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
