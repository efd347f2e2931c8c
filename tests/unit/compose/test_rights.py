"""Who may make containers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import creation
from wasmimg_compose.container import ContainerSpec
from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from wasmimg_images.home import Home


def test_without_root_nothing_is_made(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match="containers need root") as caught:
        creation.create(home, ContainerSpec("demo"))
    assert caught.value.hint is not None
    assert "sudo" in caught.value.hint
    assert not home.data.exists()
    assert not home.run.exists()
