"""Docker as a service of systemd, on cgroup v2 alone: one virtual machine for a whole run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing import toolbox
from wasmimg_testing.machines import guests
from wasmimg_testing.machines.virtual import VirtualDocker, virtual_docker

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PROGRAMS = ("debootstrap", "qemu-system-x86_64", "mke2fs", "ssh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.toolchain)
            item.add_marker(pytest.mark.timeout(1800))  # the first one makes and boots the machine


@pytest.fixture(scope="session")
def docker(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualDocker]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    assert pytestconfig.cache is not None
    guest = toolbox.compiled(pytestconfig.cache.mkdir("toolbox"))
    archive = guests.archive(tmp_path_factory.mktemp("guests"), guest)
    with virtual_docker() as host:
        host.load(archive)
        for network in ("none", "host", "bridge"):  # what an engine makes once, it keeps
            host.run("--rm", "--network", network, "test/hello").well()
        yield host
