from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_testing.shims import ShimHost


@pytest.fixture
def host() -> Iterator[ShimHost]:
    """A run directory of this test alone; short, because it holds sockets."""
    shims = ShimHost(Path(tempfile.mkdtemp(prefix="ws-")))
    yield shims
    shims.close()
