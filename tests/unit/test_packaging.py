"""The wheel holds the five packages and nothing else."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "wasmimg_images": "images",
    "wasmimg_builder": "builder",
    "wasmimg_shim": "shim",
    "wasmimg_compose": "compose",
    "wasmimg": "cli",
}
#: What stands beside the modules: markers for type checkers, and data the code reads.
DATA = {"py.typed", "default_seccomp.json"}
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return zipfile.ZipFile(path)


def tracked() -> set[str]:
    """Name the packages' files as they lie in a wheel: those that git knows."""
    found: set[str] = set()
    for package, folder in PACKAGES.items():
        listed = subprocess.run(
            ["git", "ls-files", "-z", f"{folder}/{package}"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        found |= {name.split("/", 1)[1] for name in listed.stdout.split("\0") if name}
    return found


def test_the_wheel_holds_exactly_the_five_packages(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    assert {name.split(".dist-info/")[1] for name in metadata} == METADATA
    assert names - metadata == tracked()


def test_packages_hold_modules_and_known_data_only() -> None:
    strange = {n for n in tracked() if not n.endswith(".py") and Path(n).name not in DATA}
    assert strange == set()


def test_both_commands_are_entry_points(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    text = wheel.read(name).decode()
    assert "wasmimg = wasmimg.main:main" in text
    assert "containerd-shim-wasmimg-v1 = wasmimg_shim.main:main" in text
