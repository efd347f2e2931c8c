"""A command line of its own for each test, with a few tiny images in its store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_images.home import Home
from wasmimg_images.layout import Store
from wasmimg_images.spec import Platform
from wasmimg_testing.commandline import CommandLine, command_line
from wasmimg_testing.images import add_image, busybox_files, layer
from wasmimg_testing.shims import guest

WASI, LINUX = Platform("wasi", "wasm"), Platform("linux", "amd64")
KINDS = ("hello", "exit42", "trap", "sleep", "cat")


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the data folder that each test's is a copy of, and the cache they share."""
    folder = tmp_path_factory.mktemp("shelf")
    store = Store(Home(folder / "data", folder / "run", folder / "cache").store)
    for kind in KINDS:
        packed = layer({"app.wasm": bytes(guest(kind))})
        add_image(store, kind, [packed], {"Entrypoint": ["/app.wasm"]}, WASI)
    add_image(store, "busybox", [layer(busybox_files())], {"Cmd": ["sh"]}, LINUX)
    return folder


@pytest.fixture(scope="module")
def machine(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    folder = tmp_path_factory.mktemp("machine")
    shutil.copytree(shelf / "data", folder / "data")
    with command_line(folder, cache=shelf / "cache") as command:
        yield command


@pytest.fixture
def wasmimg(machine: CommandLine) -> Iterator[CommandLine]:
    """Give the module's command line, and see that the test leaves nothing on its host."""
    yield machine
    machine.is_clean()
