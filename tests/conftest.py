"""What every test may rely on: skips that count as failures in CI, and a home of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from wasmimg_images.home import Home

# How long an example takes says more of the machine than of us.
settings.register_profile("wasmimg", deadline=None)
settings.load_profile("wasmimg")

CI = bool(os.environ.get("CI"))
#: marker -> what must be there, and how to tell
NEEDS = {
    "root": ("root", lambda: os.geteuid() == 0),
    "network": (
        "root, ip and nft",
        lambda: os.geteuid() == 0 and bool(shutil.which("ip")) and bool(shutil.which("nft")),
    ),
    "toolchain": (
        "wasm-ld-19 and Debian's rustc",
        lambda: bool(shutil.which("wasm-ld-19")) and Path("/usr/bin/rustc").exists(),
    ),
    "database": ("mariadbd", lambda: Path("/usr/sbin/mariadbd").exists()),
    "browser": ("chromium", lambda: bool(shutil.which("chromium"))),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (what, present) in NEEDS.items():
        if item.get_closest_marker(marker) and not present():
            pytest.skip(f"needs {what}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skip in CI is a failure: the set-up that `make test` does is part of what is tested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if CI and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "run", tmp_path / "cache")
