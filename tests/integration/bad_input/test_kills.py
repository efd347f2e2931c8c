"""kill -9 at random moments, and the next command.

The moments are seeded, spread over the time that the command needs when nobody kills it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.digest import Digest
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, layer
from wasmimg_testing.samples import content
from wasmimg_testing.shims import guest
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from wasmimg_testing.commandline import CommandLine

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]
TIMES = 6
COMPOSE = """
services:
  first: {image: sleep, ports: ["8080:80"], stop_grace_period: 0s}
  second: {image: busybox, command: [sleep, "1000"], volumes: ["data:/data"], stop_grace_period: 0s}
volumes: {data: {}}
"""


def moments(
    wasmimg: CommandLine, seed: int, *words: str | Path, cwd: Path | None = None
) -> list[float]:
    """Run a command once, and draw moments of its life."""
    begun = time.monotonic()
    wasmimg(*words, cwd=cwd).well()
    longest = time.monotonic() - begun
    drawn = random.Random(seed)
    return sorted(drawn.uniform(0.1, 1.0) * longest for _ in range(TIMES))


def killed(
    wasmimg: CommandLine, moment: float, *words: str | Path, cwd: Path | None = None
) -> None:
    """Kill a command, and whatever it has in its process group, after a while."""
    process = wasmimg.start(*words, cwd=cwd)
    with contextlib.suppress(Exception):
        process.communicate(timeout=moment)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def is_whole(store: Store) -> None:
    """Check that every blob is what its name says, and that every name leads to one."""
    for path in (store.root / "blobs" / "sha256").iterdir():
        assert Digest.of(path.read_bytes()).hex == path.name
    for _, descriptor in store.images():
        assert store.has(descriptor.digest)


def test_build(wasmimg: CommandLine, tmp_path: Path) -> None:
    module = bytes(guest("hello")) + b"\x00\x80\x80\x40" + b"\x01x" + content((1 << 20) - 2)
    (tmp_path / "app.wasm").write_bytes(module)
    words = ("build", tmp_path / "app.wasm", "-t", "built", "--no-cache")
    drawn = moments(wasmimg, 1, *words)
    expected = wasmimg(*words).well()
    for moment in drawn:
        wasmimg("rmi", "-f", "built")
        killed(wasmimg, moment, *words)
        is_whole(Store(wasmimg.home.store))
    assert wasmimg(*words).well() == expected
    assert wasmimg("run", "--rm", "built").well() == "hello"


@pytest.fixture
def registry(wasmimg: CommandLine, tmp_path: Path) -> Iterator[str]:
    """Serve a registry on port 5000 of our network."""
    process = wasmimg.start("registry-serve", tmp_path / "registry")
    assert process.stderr is not None
    assert b"Serving" in process.stderr.readline()
    yield "127.0.0.1:5000"
    process.terminate()
    process.communicate()


def add_large(wasmimg: CommandLine, name: str) -> None:
    layers = [layer({f"{number}": content(3 << 20, number)}) for number in range(3)]
    files = {"app.wasm": bytes(guest("hello"))}
    config = {"Entrypoint": ["/app.wasm"]}
    store = Store(wasmimg.home.store)
    add_image(store, name, [*layers, layer(files)], config, Platform("wasi", "wasm"))


def test_push_and_pull(wasmimg: CommandLine, registry: str, tmp_path: Path) -> None:
    name = f"{registry}/large"
    add_large(wasmimg, name)
    with_folder = tmp_path / "registry"
    for moment in moments(wasmimg, 2, "push", name):
        for file in with_folder.rglob("*"):
            if file.is_file() and file.name != "lock":
                file.unlink()
        killed(wasmimg, moment, "push", name)
    digest = wasmimg("push", name).well()
    store = Store(wasmimg.home.store)
    wasmimg("rmi", "-f", name).well()
    for moment in moments(wasmimg, 3, "pull", name):
        wasmimg("rmi", "-f", name)
        killed(wasmimg, moment, "pull", name)
        is_whole(store)
    assert wasmimg("pull", name).well() == digest
    assert store.has(store.resolve(Reference.parse(name)).digest)
    assert wasmimg("run", "--rm", name).well() == "hello"
    left = [path.name for path in store.root.rglob("*") if ".part" in path.name]
    assert not left


def test_a_registry_that_dies_in_the_middle_of_a_push(wasmimg: CommandLine, tmp_path: Path) -> None:
    name = "127.0.0.1:5000/large"
    add_large(wasmimg, name)
    words = ("registry-serve", tmp_path / "registry")
    for bytes_there in (1, 4 << 20):
        serving = wasmimg.start(*words)
        assert serving.stderr is not None
        serving.stderr.readline()
        pushing = wasmimg.start("push", name)
        until(lambda: size(tmp_path / "registry") >= bytes_there, "some bytes", 20)  # noqa: B023
        serving.kill()
        serving.communicate()
        _, err = pushing.communicate(timeout=60)
        assert pushing.returncode in {0, 5}, err
        assert b"Traceback" not in err
    serving = wasmimg.start(*words)
    assert serving.stderr is not None
    serving.stderr.readline()
    digest = wasmimg("push", name).well()
    wasmimg("rmi", "-f", name).well()
    assert wasmimg("pull", name).well() == digest
    serving.terminate()
    serving.communicate()


def size(folder: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return 0


@pytest.mark.parametrize("image", ["sleep", "busybox"])
def test_run(wasmimg: CommandLine, image: str) -> None:
    arguments = ("sleep", "1000") if image == "busybox" else ()
    words = ("run", "-d", "--name", "it", "-p", "8080:80", image, *arguments)
    drawn = moments(wasmimg, 4, *words)
    wasmimg("rm", "-f", "it").well()
    for moment in drawn:
        killed(wasmimg, moment, *words)
        known = wasmimg("ps", "-aq").well().split()
        assert len(known) <= 1
        if known:
            wasmimg("rm", "-f", *known).well()
        wasmimg.is_clean()
    wasmimg(*words).well()
    assert "Up" in wasmimg("ps").well()
    wasmimg("rm", "-f", "it").well()


def test_up(wasmimg: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    drawn = moments(wasmimg, 5, "compose", "up", "-d", cwd=tmp_path)
    wasmimg("compose", "down", "-v", cwd=tmp_path).well()
    wasmimg.is_clean()
    for place, moment in enumerate(drawn):
        killed(wasmimg, moment, "compose", "up", "-d", cwd=tmp_path)
        if place % 2:
            wasmimg("compose", "up", "-d", cwd=tmp_path).well()
            assert len(wasmimg("compose", "ps", "-q", cwd=tmp_path).well().split()) == 2
        wasmimg("compose", "down", "-v", cwd=tmp_path).well()
        wasmimg.is_clean()


def test_down(wasmimg: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    wasmimg("compose", "up", "-d", cwd=tmp_path).well()
    for moment in moments(wasmimg, 6, "compose", "down", "-v", cwd=tmp_path):
        wasmimg("compose", "up", "-d", cwd=tmp_path).well()
        killed(wasmimg, moment, "compose", "down", "-v", cwd=tmp_path)
        wasmimg("compose", "down", "-v", cwd=tmp_path).well()
        wasmimg.is_clean()
