"""`wasmimg install` and `uninstall` as a user meets them: one line, a hint, an exit code."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from wasmimg import main
from wasmimg_images.errors import HostError, InvalidInput, WasmimgError
from wasmimg_testing.install import DAEMON_JSON, LAUNCHERS, USERS, make_root, tree

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "RUN", "CACHE"):
        monkeypatch.delenv(f"WASMIMG_{name}", raising=False)
    monkeypatch.setenv("WASMIMG_HOME", "/var/lib/wasmimg")
    return make_root(tmp_path / "root")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(main.cli, [str(word) for word in words])


def refused(outcome: Result) -> WasmimgError:
    assert isinstance(outcome.exception, WasmimgError)
    assert "\n" not in outcome.exception.message
    assert outcome.exception.hint
    return outcome.exception


def test_a_dry_run_prints_one_operation_a_line_and_changes_nothing(root: Path) -> None:
    before = tree(root)
    outcome = call("install", "--dry-run", "--root", root)
    assert outcome.exit_code == 0
    written = [f"write /{launcher}: starts the shim" for launcher in LAUNCHERS]
    assert outcome.stdout.splitlines()[1:4] == written
    assert tree(root) == before
    assert call("install", "--root", root).stdout == ""
    planned = call("uninstall", "--dry-run", "--root", root).stdout
    assert call("uninstall", "--root", root).stderr == planned
    assert tree(root) == before


def test_twice_is_as_good_as_once(root: Path) -> None:
    assert call("install", "--root", root).exit_code == 0
    after = tree(root)
    second = call("install", "--root", root)
    assert second.exit_code == 0
    assert "wasmimg is installed already" in second.stderr
    assert tree(root) == after
    assert call("uninstall", "--root", root).exit_code == 0
    assert call("uninstall", "--root", root).stderr == "wasmimg is not installed\n"


def test_a_spoilt_daemon_json_is_named_by_line_and_column(root: Path) -> None:
    (root / DAEMON_JSON).write_bytes(USERS[:-3])
    before = tree(root)
    error = refused(call("install", "--root", root))
    assert isinstance(error, InvalidInput)
    assert error.message.startswith("/etc/docker/daemon.json:4:")
    assert tree(root) == before


def test_a_machine_without_engines_is_an_error(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = refused(call("install", "--root", tmp_path / "empty"))
    assert isinstance(error, HostError)
    assert call("install", "--host", "docker", "--root", tmp_path / "empty").exit_code == 0


def test_two_at_once_do_not_mix(root: Path) -> None:
    (root / "var/lib/wasmimg").mkdir()
    fd = os.open(root / "var/lib/wasmimg", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        before = tree(root)
        assert "at work" in refused(call("install", "--root", root)).message
        assert "at work" in refused(call("uninstall", "--root", root)).message
        assert tree(root) == before
    finally:
        os.close(fd)


def test_who_is_not_root_is_told_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for verb in ("install", "uninstall"):
        error = refused(call(verb))
        assert isinstance(error, HostError)
        assert error.hint == "sudo"


@pytest.mark.parametrize(
    "words",
    [("--bin-dir", "usr/bin"), ("--root", "/nowhere"), ("--root", "/etc/hostname")],
)
def test_folders_that_can_not_be(words: tuple[str, str], root: Path) -> None:
    assert isinstance(refused(call("install", "--root", root, *words)), InvalidInput)


def test_a_remote_docker_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    error = refused(call("install", "--dry-run", "--host", "docker"))
    assert error.message.startswith("DOCKER_HOST is tcp://10.0.0.1:2375")


def test_a_folder_that_can_not_be_written_is_one_line(root: Path) -> None:
    (root / "usr/local/bin").rmdir()
    (root / "usr/local/bin").symlink_to("/proc")
    (root / "proc").write_bytes(b"a file")
    outcome = call("install", "--root", root)
    assert isinstance(outcome.exception, OSError | WasmimgError)
    (root / "proc").unlink()
    assert call("uninstall", "--root", root).exit_code == 0
