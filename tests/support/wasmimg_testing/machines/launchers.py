"""The shim on a machine's PATH, by the launcher that wasmimg writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_testing.machines.installation import VENV

if TYPE_CHECKING:
    from wasmimg_testing.machines.machine import Commands

FOLDER = "/usr/local/bin"
#: the runtime, and the names under which published compose files ask for one like it
NAMES = ("wasmimg", "wasmedge", "wasmtime")
_CODE = """
import sys
from wasmimg_shim import launcher
for path in sys.argv[1:]:
    launcher.write(path, launcher.text(sys.executable, launcher.own_paths()))
"""


def write(machine: Commands) -> None:
    """Write a launcher for each name."""
    paths = [f"{FOLDER}/containerd-shim-{name}-v1" for name in NAMES]
    machine.run(f"{VENV}/bin/python", "-c", _CODE, *paths).well()
