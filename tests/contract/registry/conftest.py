"""Each registry implementation once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from wasmimg_images.layout import Store
from wasmimg_images.registry.blob_upload import ResumptionFolder
from wasmimg_images.registry.client import Client
from wasmimg_images.registry.credentials import Credentials
from wasmimg_images.registry.session import Effects
from wasmimg_images.registry.transport import HttpTransport
from wasmimg_testing import registries
from wasmimg_testing.registries import DOCKER_REGISTRY, Registry

IMPLEMENTATIONS: dict[str, Callable[[Path], AbstractContextManager[Registry]]] = {
    "ours": registries.ours,
    "ours-htpasswd": registries.ours_with_users,
    "debian": registries.debian,
    "debian-htpasswd": registries.debian_with_users,
    "debian-token": registries.debian_with_tokens,
}


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    if request.param.startswith("debian") and DOCKER_REGISTRY is None:
        pytest.skip("needs docker-registry")
    folder = tmp_path_factory.mktemp("registry") / "served"
    with IMPLEMENTATIONS[request.param](folder) as running:
        yield running


@pytest.fixture
def client(registry: Registry, tmp_path: Path) -> Iterator[Client]:
    folder = registry.credentials_file(tmp_path / "docker")
    with made_client(folder, ResumptionFolder(tmp_path / "uploads")) as client:
        yield client


def made_client(folder: Path, resumptions: ResumptionFolder | None = None) -> Client:
    """A client that must never need to wait: nothing fails here."""
    environ = {"DOCKER_CONFIG": str(folder)}
    effects = Effects(HttpTransport(environ), sleep=_never)
    return Client(Credentials.from_environ(environ), effects, resumptions=resumptions)


def _never(seconds: float) -> None:
    pytest.fail(f"waited {seconds} s for a registry in good health")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
