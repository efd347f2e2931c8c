"""A store with an image in it that builds made."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmimg_images.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
