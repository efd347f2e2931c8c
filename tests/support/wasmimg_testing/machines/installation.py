"""wasmimg as pip leaves it in a root: a layer with its packages, compiled by the root's own Python.

What is laid out is what the tests themselves import, the installed wheel in CI. Users have Debian's
Python and a virtual environment, so machines have no part of the host's interpreter.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("wasmimg_images", "wasmimg_builder", "wasmimg_shim", "wasmimg_compose", "wasmimg")
#: where a machine's user has made the virtual environment
VENV = Path("/opt/wasmimg")
SCRIPT = f"""#!{VENV}/bin/python
import sys
from wasmimg.main import main
sys.exit(main())
"""


def installed(root: Path) -> Path:
    """Give the layer for a root, made where sources or root have changed; it is not written to."""
    layer = root.with_name(f"{root.name}-wasmimg-{_fingerprint()}")
    if layer.is_dir():
        return layer
    partial = Path(tempfile.mkdtemp(prefix=f"{root.name}-partial-", dir=root.parent))
    try:
        _lay_out(root, partial / "layer")
        _compile(root, partial)
        try:
            (partial / "layer").rename(layer)
        except OSError:
            assert layer.is_dir()  # another process was faster
    finally:
        shutil.rmtree(partial)
    return layer


def _sources() -> Iterator[tuple[str, Path]]:
    """Find what the wheel has: name below site-packages and file."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        assert module.__file__ is not None
        folder = Path(module.__file__).parent
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(folder)}", path
    for file in importlib.metadata.files("wasmimg") or ():
        if file.parts[0].endswith(".dist-info") and file.name in {"METADATA", "entry_points.txt"}:
            yield str(file), Path(str(file.locate()))


def _fingerprint() -> str:
    digest = hashlib.sha256(SCRIPT.encode())
    for name, path in _sources():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _lay_out(root: Path, layer: Path) -> None:
    (library,) = (root / VENV.relative_to("/")).glob("lib/python3.*/site-packages")
    for name, path in _sources():
        target = layer / library.relative_to(root) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    script = layer / VENV.relative_to("/") / "bin/wasmimg"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)


def _compile(root: Path, partial: Path) -> None:
    for name in ("work", "merged"):
        (partial / name).mkdir()
    script = (
        'mount -t overlay -o "lowerdir=$1,upperdir=$2/layer,workdir=$2/work" layer "$2/merged" &&'
        f' chroot "$2/merged" {VENV}/bin/python -m compileall -q -j 2 {VENV}/lib'
    )
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "compile"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    subprocess.run([*command, str(root), str(partial)], check=True, env=environment)
