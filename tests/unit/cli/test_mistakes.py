"""What a user without rights, or with a wrong name, is told: one line, a hint, an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from wasmimg import main
from wasmimg.commands.run import command as run
from wasmimg_images.errors import InvalidInput, RegistryError

if TYPE_CHECKING:
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


@pytest.mark.parametrize("words", [("-t",), ("-it",), ("-ti",), ("-d", "--tty")])
def test_a_terminal_is_refused_in_words(words: tuple[str, ...]) -> None:
    outcome = CliRunner().invoke(run, [*words, "demo"])
    assert isinstance(outcome.exception, InvalidInput)
    assert outcome.exception.message == "there are no terminals yet; leave -t out"


@pytest.mark.parametrize("word", ["-z", "-iz", "--foo"])
def test_an_unknown_option_of_run_is_no_image(word: str) -> None:
    outcome = CliRunner().invoke(run, [word, "demo"])
    assert outcome.exit_code == 2
    assert "No such option" in outcome.output


def test_an_option_without_its_value_points_to_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["wasmimg", "run", "-h"])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == 2
    assert "Try 'wasmimg run --help' for help." in capsys.readouterr().err


@pytest.mark.parametrize("network", ["none", "host"])
def test_ports_that_nothing_publishes_are_warned_of(
    home: Home, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name, folder in zip(("HOME", "RUN", "CACHE"), home, strict=True):
        monkeypatch.setenv(f"WASMIMG_{name}", str(folder))
    monkeypatch.setenv("WASMIMG_INSECURE_REGISTRIES", "127.0.0.1:1")
    words = ["run", "-p", "80", "--network", network, "127.0.0.1:1/demo"]
    lines = CliRunner().invoke(main.cli, words).output.splitlines()
    warnings = [line for line in lines if "warning" in line]
    assert warnings == [f"wasmimg: warning: --network {network}: -p has no effect"]
