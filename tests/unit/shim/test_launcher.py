from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_images.home import Home
from wasmimg_shim import RELEASE, launcher, start


def test_a_launcher_finds_the_packages_wherever_it_is_called(tmp_path: Path) -> None:
    program = tmp_path / "containerd-shim-wasmimg-v1"
    launcher.write(str(program), launcher.text(sys.executable, launcher.own_paths()))
    (tmp_path / "wasmimg_shim").mkdir()
    (tmp_path / "os.py").write_text("raise SystemExit('the bundle was imported')")
    done = subprocess.run(
        [program, "-v"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert RELEASE in done.stdout
    assert done.stderr == ""
    assert stat.S_IMODE(os.stat(program).st_mode) == 0o755
    assert sorted(os.listdir(tmp_path)) == ["containerd-shim-wasmimg-v1", "os.py", "wasmimg_shim"]


def test_the_standard_library_is_left_to_the_interpreter() -> None:
    paths = launcher.own_paths()
    assert os.path.dirname(os.__file__) not in paths
    assert any(Path(path, "wasmimg_shim", "main.py").exists() for path in paths)
    assert any(Path(path, "wasmtime").exists() for path in paths)


@pytest.mark.parametrize("python", ["python3", "/opt/my python/bin/python", "/" + "x" * 250])
def test_an_interpreter_that_no_first_line_can_name_is_refused(python: str) -> None:
    with pytest.raises(InvalidInput, match="first line"):
        launcher.text(python, [])


@pytest.mark.parametrize(
    "environment",
    [{}, {"WASMIMG_RUN": "/x"}, {"XDG_RUNTIME_DIR": "/run/user/7"}, {"WASMIMG_RUN": ""}],
)
def test_the_start_verb_and_home_mean_the_same_directory(environment: dict[str, str]) -> None:
    raw = {os.fsencode(key): os.fsencode(value) for key, value in environment.items()}
    assert start.run_dir(raw) == str(Home.from_environ(environment).run)


@pytest.mark.parametrize(
    ("environment", "program", "engine"),
    [
        ({}, "/usr/local/bin/containerd-shim-wasmimg-v1", "wasmtime"),
        ({}, "containerd-shim-wasmtime-v1", "wasmtime"),
        ({}, "containerd-shim-wasmedge-v1", "wasmedge"),
        ({}, "/x/containerd-shim-spin-v2", "wasmtime"),
        ({b"WASMIMG_ENGINE": b"wasmtime"}, "containerd-shim-wasmedge-v1", "wasmtime"),
        ({b"WASMIMG_ENGINE": b"../x"}, "containerd-shim-wasmimg-v1", "wasmtime"),
    ],
)
def test_the_name_of_the_launcher_picks_the_engine(
    environment: dict[bytes, bytes], program: str, engine: str
) -> None:
    expected = engine if engine in start.ENGINES else start.ENGINES[0]
    assert start.engine_name(environment, program) == expected
