"""The real compiler: the same digest from two folders, a failing project, a killed build."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wasmtime

pytestmark = [pytest.mark.toolchain, pytest.mark.slow]

MANIFEST = """
[package]
name = "{name}"
version = "0.1.0"
edition = "2021"
"""
#: A path in a panic message, and a symbol of a package outside the workspace.
MAIN = 'fn main() { println!("{:?}", common::answer(std::env::args().count())); }'
COMMON = (
    "pub fn answer(count: usize) -> Box<dyn std::fmt::Debug> { assert!(count < 9); Box::new(42) }"
)


def project(folder: Path) -> Path:
    """Write a program, and a package beside it that it needs."""
    for name, file, text in (("app", "main.rs", MAIN), ("common", "lib.rs", COMMON)):
        (folder / name / "src").mkdir(parents=True)
        extra = '[dependencies]\ncommon = { path = "../common" }\n' if name == "app" else ""
        (folder / name / "Cargo.toml").write_text(MANIFEST.format(name=name) + extra)
        (folder / name / "src" / file).write_text(text)
    return folder / "app"


def build(
    path: Path, folder: Path, *words: str, umask: int = 0o022, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wasmimg", "build", str(path), *words],
        capture_output=True,
        text=True,
        env=environment(folder, **environ),
        umask=umask,
        timeout=280,
        check=False,
    )


def environment(folder: Path, **environ: str) -> dict[str, str]:
    return {
        **os.environ,
        "WASMIMG_HOME": str(folder / "data"),
        "WASMIMG_RUN": str(folder / "run"),
        "WASMIMG_CACHE": str(folder / "cache"),
        **environ,
    }


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the project was built once, the standard library with it."""
    folder = tmp_path_factory.mktemp("warm")
    done = build(project(folder / "src"), folder)
    assert done.returncode == 0, done.stderr
    return folder


def wasm(folder: Path) -> Path:
    (module,) = folder.glob("cache/build/*-target/wasm32-wasip1/release/app.wasm")
    return module


def test_the_program_runs_and_names_no_folder_of_ours(warm: Path) -> None:
    data = wasm(warm).read_bytes()
    assert str(warm).encode() not in data
    assert os.fsencode(Path.home()) + b"/" not in data
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    linker.define_wasi()
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["app"]
    wasi.stdout_file = str(warm / "out")
    store.set_wasi(wasi)
    instance = linker.instantiate(store, wasmtime.Module(engine, data))
    start = instance.exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    start(store)
    assert (warm / "out").read_bytes() == b"42\n"


def test_another_folder_umask_zone_and_home_give_the_same_digest(
    warm: Path, tmp_path: Path
) -> None:
    first = build(warm / "src/app", warm)
    (tmp_path / "home").mkdir()
    other = project(tmp_path / "quite/another/place")
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    second = build(
        other,
        tmp_path,
        umask=0o077,
        HOME=str(tmp_path / "home"),
        CARGO_HOME=cargo,
        TZ="Asia/Tokyo",
    )
    assert second.returncode == 0, second.stderr
    assert wasm(tmp_path).read_bytes() == wasm(warm).read_bytes()
    assert first.stdout == second.stdout != ""


def test_an_unchanged_project_is_known_and_its_folder_left_alone(warm: Path) -> None:
    before = sorted(str(path) for path in (warm / "src").rglob("*"))
    done = build(warm / "src/app", warm)
    assert "unchanged since the last build" in done.stderr
    assert "Compiling" not in done.stderr
    assert sorted(str(path) for path in (warm / "src").rglob("*")) == before
    assert not list((warm / "src").rglob("target"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount the project read-only")
def test_a_project_without_a_lock_file_is_only_read(warm: Path) -> None:
    folder = str(warm / "src")
    mount = f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec "$@"'
    words = [sys.executable, "-m", "wasmimg", "build", str(warm / "src/app")]
    (warm / "src/app/src/main.rs").write_text(MAIN + "\n// to be compiled again")
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", *words],
            capture_output=True,
            text=True,
            env=environment(warm),
            timeout=280,
            check=False,
        )
    finally:
        (warm / "src/app/src/main.rs").write_text(MAIN)
    assert done.returncode == 0, done.stderr
    assert "Compiling" in done.stderr
    assert not list((warm / "src").rglob("Cargo.lock"))


def test_the_compilers_own_message_is_shown(warm: Path) -> None:
    source = warm / "src/app/src/main.rs"
    source.write_text("fn main() { let x: u8 = missing(); }")
    try:
        done = build(warm / "src/app", warm, "-q")
    finally:
        source.write_text(MAIN)
    assert done.returncode == 8
    assert done.stdout == ""
    assert "cannot find function `missing`" in done.stderr
    assert "wasmimg: cargo build failed" in done.stderr


def test_a_build_that_is_killed_is_made_whole_by_the_next(warm: Path) -> None:
    source = warm / "src/app/src/main.rs"
    source.write_text(MAIN + "\n// changed")
    process = subprocess.Popen(
        [sys.executable, "-m", "wasmimg", "build", str(warm / "src/app")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(warm),
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"compile app")
    process.kill()
    process.communicate()  # returns once cargo, which has the other end of stderr, is gone too
    started = time.monotonic()
    done = build(warm / "src/app", warm)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    check = subprocess.run(
        [sys.executable, "-m", "wasmimg", "inspect", "app", "--check"],
        capture_output=True,
        env=environment(warm),
        timeout=60,
        check=False,
    )
    assert check.returncode == 0, check.stdout
