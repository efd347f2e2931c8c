from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from wasmimg_shim.install import launchers
from wasmimg_shim.install.rooted import Root


def test_the_launcher_of_this_installation_is_one_and_runs_our_shim() -> None:
    launcher = launchers.of_this_installation(Root())
    assert launchers.is_launcher(launcher.text)
    assert launchers.is_ours(launcher.text)
    assert launcher.text.startswith(f"#!{sys.executable} -ISE\n".encode())


def test_paths_below_another_root_are_written_as_it_will_see_them() -> None:
    root = os.path.dirname(os.path.dirname(sys.executable))
    launcher = launchers.of_this_installation(Root(root))
    inside = sys.executable.removeprefix(root)
    assert launcher.python == inside
    assert launcher.text.startswith(f"#!{inside} -ISE\n".encode())
    assert f"'{root}".encode() not in launcher.text


@pytest.mark.parametrize(
    ("runtime", "ours"),
    [
        ("wasmimg", True),
        ("wasmedge", True),
        ("io.containerd.wasmtime.v1", True),
        ("/opt/bin/containerd-shim-wasmimg-v1", True),
        ("runc", False),
        ("io.containerd.runc.v2", False),
        ("io.containerd.wasmimg.v2", False),
        ("/usr/bin/wasmedge-x", False),
    ],
)
def test_which_runtimes_are_ours(runtime: str, ours: bool) -> None:
    assert launchers.is_runtime(runtime) is ours


def test_other_programs_are_not_ours() -> None:
    assert not launchers.is_ours(b"\x7fELF from wasmimg_shim.main import main")
    assert not launchers.is_launcher(b"#!/usr/bin/python3\nfrom wasmimg_shim.main import main\n")
    assert not launchers.is_ours(b"#!/bin/sh\n# made by wasmimg\n")


def test_code_that_others_can_change_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = tmp_path / "packages"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setattr(sys, "path", [*sys.path, str(open_to_all)])
    assert str(open_to_all) in launchers.of_this_installation(Root()).exposed
