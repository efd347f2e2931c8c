"""docs/shim.md says of each engine what tests on that engine show, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wasmimg_testing.machines import features
from wasmimg_testing.machines.features import ENGINES, Shown

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/shim.md"


@pytest.fixture(scope="module")
def tests() -> list[Shown]:
    plugin = "wasmimg_testing.machines.collected"
    words = ("-m", "pytest", "-q", "--collect-only", "-p", plugin, "tests/machines")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests/support")}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    return [Shown(*json.loads(line)) for line in lines]


def test_the_table_is_what_is_tested(tests: list[Shown]) -> None:
    expected = features.table(tests)
    assert expected in DOCUMENT.read_text(), f"docs/shim.md should have\n\n{expected}"


def test_every_test_on_an_engine_is_of_a_feature(tests: list[Shown]) -> None:
    assert features.without_a_feature(tests) == set(), "name them in features.FEATURES"


def test_every_engine_is_there(tests: list[Shown]) -> None:
    assert {test.engine for test in tests} == set(ENGINES)


def test_no_feature_is_without_tests(tests: list[Shown]) -> None:
    for row in features.table(tests).splitlines()[2:]:
        cells = row.strip("| ").split(" | ")[1:]
        assert set(cells) != {features.UNTESTED}, row
