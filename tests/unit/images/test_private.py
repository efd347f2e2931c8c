from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_one_is_the_owners_only(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o700), (0o2775, 0o2700), (0o500, 0o500)])
def test_one_that_is_there_is_closed(tmp_path: Path, before: int, after: int) -> None:
    tmp_path.chmod(before)
    make_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o7777 == after
