"""Hosts with real engines, one of each for a whole run; `wasmimg_testing.machines` makes them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing import toolbox
from wasmimg_testing.machines import (
    BOOKWORM,
    FORKY,
    TRIXIE,
    ContainerdHost,
    DockerHost,
    containerd_host,
    docker_host,
    foreign,
    guests,
    root,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
DOCKERS = {"docker-28.5": FORKY, "docker-26.1": TRIXIE}
CONTAINERDS = {"containerd-2.1": FORKY, "containerd-1.7": TRIXIE, "containerd-1.6": BOOKWORM}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.network)
            item.add_marker(pytest.mark.toolchain)


@pytest.fixture(scope="session")
def roots() -> None:
    """Make what is not there yet."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("needs root and debootstrap")
    root.all_made()


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> bool:
    """Whether the test is to show how its engine refuses (marker `refused_by`)."""
    marker = request.node.get_closest_marker("refused_by")
    return marker is not None and any(engine in request.node.name for engine in marker.args)


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether loops have their full length: WASMIMG_TEST_FULL=1, ten minutes more for each Docker."""
    return bool(os.environ.get("WASMIMG_TEST_FULL"))


@pytest.fixture(scope="session")
def foreign_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of images as other tools make them."""
    return foreign.archive(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="session")
def archive(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images that every host has."""
    assert pytestconfig.cache is not None
    guest = toolbox.compiled(pytestconfig.cache.mkdir("toolbox"))
    return guests.archive(tmp_path_factory.mktemp("guests"), guest)


@pytest.fixture(scope="session", params=DOCKERS)
def docker(request: pytest.FixtureRequest, roots: None, archive: Path) -> Iterator[DockerHost]:
    with docker_host(DOCKERS[request.param]) as host:
        host.load(archive)
        for network in ("none", "host", "bridge"):  # what an engine makes once, it keeps
            host.run("--rm", "--network", network, "test/hello").well()
        yield host


@pytest.fixture(scope="session", params=CONTAINERDS)
def containerd(
    request: pytest.FixtureRequest, roots: None, archive: Path
) -> Iterator[ContainerdHost]:
    with containerd_host(CONTAINERDS[request.param]) as host:
        host.load(archive)
        host.run("--rm", "test/hello", "first").well()
        yield host
