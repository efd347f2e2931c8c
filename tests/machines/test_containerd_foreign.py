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
#: takes no image without files, as all before 1.6.25
OLD = "containerd-1.6"
MISMATCH = "mismatched image rootfs and manifest layers"


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


@pytest.mark.parametrize("name", foreign.PLATFORMS)
def test_every_name_of_the_platform(images: ContainerdHost, name: str) -> None:
    assert run(images, str(foreign.PLATFORMS[name]), name) == (0, "hello\n", "")
    # Words after the name take the place of the image's, the entrypoint's too.
    assert run(images, str(foreign.PLATFORMS[name]), name, "/hello.wasm#quiet") == (0, "", "")


@pytest.mark.refused_by(OLD)
@pytest.mark.parametrize("name", foreign.LAYERS)
def test_modules_that_are_layers(images: ContainerdHost, name: str, refused: bool) -> None:
    done = run(images, WASM, name)
    if refused:
        assert (done.code, done.out, MISMATCH in done.err) == (1, "", True), done
    else:
        assert done == (0, "hello\n", "")


@pytest.mark.refused_by(OLD)
def test_several_modules_that_are_layers_are_told_apart_by_name(
    images: ContainerdHost, refused: bool
) -> None:
    assert run(images, WASM, "layer-two").code == (1 if refused else 42)


@pytest.mark.refused_by("containerd-2.1", "containerd-1.7", OLD)
def test_an_artifact_with_a_command(images: ContainerdHost) -> None:
    done = run(images, WASM, "artifact", "/hello.wasm")
    words = ("unknown image config media type", MISMATCH)
    assert (done.code, any(each in done.err for each in words)) == (1, True), done
