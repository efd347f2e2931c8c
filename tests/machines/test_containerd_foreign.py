"""Images that other tools have made, under containerd: what runs, and how the rest is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines import foreign
from wasmimg_testing.machines.containerd import RUNTIME
from wasmimg_testing.machines.traces import Traces, vanish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasmimg_testing.machines import ContainerdHost, Done

WASM = str(foreign.WASIP1)


@pytest.fixture(scope="module")
def images(containerd: ContainerdHost, foreign_images: Path) -> ContainerdHost:
    target = containerd.machine.path("/tmp/foreign.tar")
    target.write_bytes(foreign_images.read_bytes())
    # Unpacked by `ctr run`: 1.6 imports nothing if one of them can't be.
    containerd.ctr("images", "import", "--all-platforms", "--no-unpack", "/tmp/foreign.tar").well()
    target.unlink()
    return containerd


@pytest.fixture(autouse=True)
def nothing_left(images: ContainerdHost) -> Iterator[None]:
    before = Traces.of(images.machine)
    yield
    images.clear()
    vanish(images.machine, before)


def run(images: ContainerdHost, platform: str, name: str, *words: str) -> Done:
    image = f"docker.io/test/{name}:latest"
    options = ("--rm", "--runtime", RUNTIME, "--platform", platform)
    return images.ctr("run", *options, image, f"of-{name}", *words)


def mounts_nothing(images: ContainerdHost) -> bool:
    """Whether it takes images without files: 1.7, and 1.6 from 1.6.25 on, which Debian has not."""
    return " 1.6." not in images.machine.run("containerd", "--version").well()


@pytest.mark.parametrize("name", foreign.PLATFORMS)
def test_every_name_of_the_platform(images: ContainerdHost, name: str) -> None:
    assert run(images, str(foreign.PLATFORMS[name]), name) == (0, "hello\n", "")
    # Words after the name take the place of the image's, the entrypoint's too.
    assert run(images, str(foreign.PLATFORMS[name]), name, "/hello.wasm#quiet") == (0, "", "")


@pytest.mark.parametrize("name", foreign.LAYERS)
def test_modules_that_are_layers(images: ContainerdHost, name: str) -> None:
    done = run(images, WASM, name)
    if mounts_nothing(images):
        assert done == (0, "hello\n", "")
    else:
        assert (done.code, done.out) == (1, "")
        assert "mismatched image rootfs and manifest layers" in done.err


def test_several_modules_that_are_layers_are_told_apart_by_name(images: ContainerdHost) -> None:
    assert run(images, WASM, "layer-two").code == (42 if mounts_nothing(images) else 1)


def test_an_artifact_is_refused_by_the_command_line(images: ContainerdHost) -> None:
    done = run(images, WASM, "artifact", "/hello.wasm")
    words = ("unknown image config media type", "mismatched image rootfs and manifest layers")
    assert done.code == 1
    assert words[0 if mounts_nothing(images) else 1] in done.err
