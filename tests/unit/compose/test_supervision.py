from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasmimg_compose.supervision import Door

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_lock_is_one_s_only_and_clearing_leaves_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path / "projects" / "p")
    handle = door.lock()
    assert handle is not None
    assert door.lock() is None
    door.clear()
    os.close(handle)
    assert not door.folder.exists()


def test_a_log_that_says_something_stays(tmp_path: Path) -> None:
    door = Door(tmp_path / "p")
    handle = door.lock()
    assert handle is not None
    (door.folder / "log").write_text("why")
    door.clear()
    os.close(handle)
    assert [path.name for path in door.folder.iterdir()] == ["log"]


def test_a_folder_that_goes_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another clears it away between our attempt to make it and a look whether it is there."""
    door = Door(tmp_path / "p")
    door.make()
    make = os.mkdir

    def lost(path: str | Path, mode: int = 0o777) -> None:
        try:
            make(path, mode)
        except FileExistsError:
            if str(path) == str(door.folder):
                os.rmdir(path)
            raise

    monkeypatch.setattr(os, "mkdir", lost)
    assert door.lock() is None
    monkeypatch.undo()
    door.sweep()
    assert not door.folder.exists()
