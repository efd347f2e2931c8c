"""A registry of ours, a proxy that breaks things before it, and a client that waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.layout import Store
from wasmimg_images.registry.blob_upload import ResumptionFolder
from wasmimg_images.registry.client import Client
from wasmimg_images.registry.credentials import Credentials
from wasmimg_images.registry.session import Effects
from wasmimg_images.registry.transport import HttpTransport
from wasmimg_testing import registries
from wasmimg_testing.faults import Fault, FaultProxy

if TYPE_CHECKING:
    from wasmimg_testing.registries import Registry

CHUNK = 300_000


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with registries.ours(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def slept() -> list[float]:
    """How long the client would have waited."""
    return []


@pytest.fixture
def client(tmp_path: Path, slept: list[float]) -> Iterator[Client]:
    effects = Effects(HttpTransport({}), sleep=slept.append)
    with Client(
        Credentials([], {}),
        effects,
        resumptions=ResumptionFolder(tmp_path / "uploads"),
        chunk=CHUNK,
    ) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def broken(registry: Registry) -> Iterator[Callable[..., FaultProxy]]:
    """Put a proxy with faults before the registry."""
    proxies: list[FaultProxy] = []

    def start(*faults: Fault) -> FaultProxy:
        proxy = FaultProxy(registry.host, *faults)
        proxies.append(proxy.__enter__())
        return proxy

    yield start
    for proxy in proxies:
        proxy.__exit__()
