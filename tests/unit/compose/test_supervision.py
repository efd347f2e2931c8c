from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import supervision
from wasmimg_compose.supervision import Door

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_images.home import Home


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


def test_a_busy_supervisor_is_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full: connect(2) says so at once, and another supervisor would not help."""
    door = Door.of(home, "p")
    door.make()
    monkeypatch.setattr(supervision, "_spawn", lambda *_: pytest.fail("there is one"))
    with door.listen() as listener:
        listener.listen(0)
        first = door.connect()
        assert first is not None
        with pytest.raises(BlockingIOError):
            door.connect()

        def accept() -> None:
            connection, _ = listener.accept()
            connection.close()

        accepting = threading.Timer(0.2, accept)
        accepting.start()
        supervision.ensure(home, "p").close()
        accepting.join()
        first.close()
