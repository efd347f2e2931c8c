"""What a user without rights, or with a wrong name, is told: one line, a hint, an exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from click.testing import CliRunner

from wasmimg import main
from wasmimg_images.errors import RegistryError

if TYPE_CHECKING:
    import pytest

    from wasmimg_images.home import Home


def test_a_folder_of_another_user_is_named_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    status = main.report(PermissionError(13, "Permission denied", "/var/lib/wasmimg/store"))
    error = capsys.readouterr().err.splitlines()
    assert status == 7
    assert error[0] == "wasmimg: Permission denied: /var/lib/wasmimg/store"
    assert "WASMIMG_HOME" in error[1]


def test_run_of_an_unknown_image_says_where_to_look(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name, folder in zip(("HOME", "RUN", "CACHE"), home, strict=True):
        monkeypatch.setenv(f"WASMIMG_{name}", str(folder))
    monkeypatch.setenv("WASMIMG_INSECURE_REGISTRIES", "127.0.0.1:1")
    outcome = CliRunner().invoke(main.cli, ["run", "--platform", "wasi/wasm", "127.0.0.1:1/dmeo"])
    assert isinstance(outcome.exception, RegistryError)
    assert outcome.exception.hint


def test_a_mistyped_command_is_answered_with_the_one_that_may_be_meant() -> None:
    outcome = CliRunner().invoke(main.cli, ["bulid", "."])
    assert outcome.exit_code == 2
    assert "did you mean 'build'?" in outcome.output
    assert "did you mean" not in CliRunner().invoke(main.cli, ["frobnicate"]).output
