"""The service in all its implementations, each beside a real database.

Every test that takes `service`, `start` or `implementation` runs once for each of IMPLEMENTATIONS.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_builder.cargo import discover
from wasmimg_builder.compilation import Compilation, compile_module, run_process
from wasmimg_builder.toolchains.debian import DebianToolchain
from wasmimg_images.home import Home
from wasmimg_testing.databases import MariaDb, Server
from wasmimg_testing.mysql_packages import MySql, unpacked
from wasmimg_testing.service import PROJECT, Native, OnEngine, Service, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Starter = Callable[..., Service]

IMPLEMENTATIONS = ("native", "wasmtime")
EPOCH_1980 = 315_532_800
_numbers = itertools.count()


@pytest.fixture(scope="session")
def native_binary() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT.parent / "build" / "cargo"))
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "-p", "demo-microservice"],
        cwd=PROJECT,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    return target / "debug" / "demo-microservice"


@pytest.fixture(scope="session")
def module(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    target = pytestconfig.cache.mkdir("demo-microservice")
    project = discover(PROJECT / "service", wanted=None)
    compilation = Compilation(project, DebianToolchain(), target, os.environ, EPOCH_1980)
    lines: list[str] = []
    return compile_module(compilation, run_process, lines.append)


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def implementation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Native | OnEngine:
    if request.param == "native":
        return Native(request.getfixturevalue("native_binary"))
    return OnEngine(request.getfixturevalue("module"), tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    server = Server(MariaDb())
    yield server
    server.close()


@pytest.fixture(scope="session")
def mysql() -> Iterator[Server]:
    cache = Home.from_environ(os.environ).cache / "test-mysql"
    try:
        root = unpacked(cache)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"MySQL's packages can't be had: {error}")
    server = Server(MySql(root))
    yield server
    server.close()


def _start(implementation: Native | OnEngine, server: Server) -> Service:
    """Start a service with a database of its own."""
    name = f"orders{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name}")
    service = start(implementation, {"DATABASE_URL": server.url(name)})
    service.database = name
    return service


@pytest.fixture(scope="module")
def service(implementation: Native | OnEngine, mariadb: Server) -> Iterator[Service]:
    """A service that the tests of a module share; none of them may stop or starve it."""
    service = _start(implementation, mariadb)
    yield service
    service.close()


@pytest.fixture
def own_service(implementation: Native | OnEngine, mariadb: Server) -> Iterator[Service]:
    """A service for one test, which may do what it likes to it."""
    service = _start(implementation, mariadb)
    yield service
    service.close()


@pytest.fixture
def starter(implementation: Native | OnEngine) -> Iterator[Starter]:
    """Starts services with the environment variables given by keyword."""
    started: list[Service] = []

    def run(**variables: str) -> Service:
        started.append(start(implementation, variables))
        return started[-1]

    yield run
    for service in started:
        service.close()
