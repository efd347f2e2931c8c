"""A program of Rust's standard library on the engine, compiled with Debian's toolchain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_builder.cargo import discover
from wasmimg_builder.compilation import Compilation, compile_module, run_process
from wasmimg_builder.toolchains.debian import DebianToolchain

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.toolchain, pytest.mark.slow]

PROJECT = Path(__file__).parents[2] / "guests/std"
EPOCH_1980 = 315_532_800


@pytest.fixture(scope="module")
def module(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    target = pytestconfig.cache.mkdir("std-guest")
    project = discover(PROJECT, wanted=None)
    compilation = Compilation(project, DebianToolchain(), target, os.environ, EPOCH_1980)
    lines: list[str] = []
    return compile_module(compilation, run_process, lines.append)


@pytest.fixture
def run(module: Path, tmp_path: Path) -> Run:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/up").symlink_to("../..")
    (tmp_path / "data/abs").symlink_to("/etc/passwd")
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed/f").write_text("fixed")
    environment = os.environ | {"WASMIMG_CACHE": str(tmp_path / "cache"), "GREETING": "grüß dich"}

    def run_guest(*groups: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wasmimg_shim.engine", "--env", "GREETING"]
        command += ["--dir", f"/data={tmp_path}/data", "--dir", f"/fixed={tmp_path}/fixed:ro"]
        return subprocess.run(
            [*command, module, *groups],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run_guest


@pytest.mark.parametrize(
    "group", ["files", "folders", "read-only", "environment", "time", "escape", "large"]
)
def test_the_standard_library_works(run: Run, group: str) -> None:
    done = run(group)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{group}: ok\n", "")


def test_standard_streams(run: Run) -> None:
    done = run("input", given="one\ntwo\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "input: ok\n", "to stderr\n")


def test_a_status_of_its_own(run: Run) -> None:
    assert run("status").returncode == 42


def test_a_panic_is_an_abort_with_its_message(run: Run) -> None:
    done = run("panic")
    assert done.returncode == 134
    assert "as asked" in done.stderr
    assert "trapped: wasm `unreachable` instruction executed" in done.stderr
