"""`run -i`: what the caller types reaches the guest, and a guest that does not care just ends."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_testing.embedded import Machine

pytestmark = [pytest.mark.root, pytest.mark.network]


def run(machine: Machine, source: int, *words: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "wasmimg", "run", "--rm", "-i", *words],
        env={
            **os.environ,
            "WASMIMG_HOME": str(machine.home.data),
            "WASMIMG_RUN": str(machine.home.run),
            "WASMIMG_CACHE": str(machine.home.cache),
        },
        stdin=source,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("size", [0, 7, 1 << 20])
def test_a_guest_may_end_without_reading(machine: Machine, tmp_path: Path, size: int) -> None:
    (tmp_path / "input").write_bytes(bytes(size))
    for _ in range(3):
        with (tmp_path / "input").open("rb") as source:
            outcome = run(machine, source.fileno(), "hello")
        assert outcome == (42, b"hello from wasm\n", b"trouble\n")


@pytest.mark.parametrize("size", [0, 30_000, 1_000_000])
def test_a_guest_reads_a_file_to_its_end(machine: Machine, tmp_path: Path, size: int) -> None:
    (tmp_path / "input").write_bytes(b"x" * size)
    with (tmp_path / "input").open("rb") as source:
        assert run(machine, source.fileno(), "busy", "cat") == (0, b"x" * size, b"")
