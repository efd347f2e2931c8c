"""What a user without rights, or with a wrong name, is told: one line, a hint, an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from wasmimg import main
from wasmimg.commands.run import command as run
from wasmimg.export import whole_file
from wasmimg_images.errors import InvalidInput, RegistryError

if TYPE_CHECKING:
    from pathlib import Path

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
    line = "wasmimg run: option '-h' requires an argument; see wasmimg run --help\n"
    assert capsys.readouterr().err == line


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


def ended(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["wasmimg", *words])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("run --xyz demo", "no such option"),
        ("run", "missing argument 'IMAGE'"),
        ("stop -t inf x", "invalid value for '-t' / '--timeout': 'inf' is no number of seconds"),
        ("stop -t -1 x", "invalid value for '-t' / '--timeout': '-1' is no number of seconds"),
        ("login -u a:b --password-stdin host", "a user name has no colon: it would end there"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"secret")))
    assert ended(words.split(), monkeypatch) == 2
    command = f"wasmimg {words.split(maxsplit=1)[0]}"
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{command}: {line}")
    assert told.endswith(f"; see {command} --help")


def test_the_help_is_that_of_the_group_or_the_command_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(["runn"], monkeypatch) == 2
    line = "wasmimg: no such command 'runn'; did you mean 'run'?; see wasmimg --help\n"
    assert capsys.readouterr().err == line
    assert ended(["compose", "down", "-t", "nan"], monkeypatch) == 2
    assert capsys.readouterr().err.endswith("; see wasmimg compose down --help\n")


def test_a_password_that_is_no_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert ended(["login", "-u", "a", "--password-stdin", "127.0.0.1:1"], monkeypatch) == 2
    assert "the password is not UTF-8 text" in capsys.readouterr().err


def test_a_defect_of_ours_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(main.cli, "main", fail)
    assert ended(["ps"], monkeypatch) == 70
    line = r"wasmimg: internal error: ValueError: two\nlines; -v shows the trace"
    assert capsys.readouterr().err == f"{line}\n"
    monkeypatch.setattr(sys, "argv", ["wasmimg", "-v", "ps"])
    with pytest.raises(ValueError, match="two"):
        main.main()


def test_what_comes_from_outside_is_shown_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.report(InvalidInput("a\nb\x1b[2J", hint="c\rd")) == 3
    assert main.report(OSError(36, "File name too long", "x\ny")) == 7
    assert capsys.readouterr().err.splitlines() == [
        r"wasmimg: a\nb\x1b[2J",
        r"  hint: c\rd",
        r"wasmimg: File name too long: x\ny",
    ]


@pytest.mark.parametrize("name", [".", "..", "/", "sub", "sub/.."])
def test_an_archive_needs_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="names no file"), whole_file(name):
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "sub"]


def test_no_command_at_all_is_answered_with_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended([], monkeypatch)
    shown = capsys.readouterr()
    assert "\n  build " in shown.out + shown.err
