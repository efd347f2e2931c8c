"""Images that other tools have made, under Docker: what runs, and how the rest is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines import foreign
from wasmimg_testing.machines.docker import RUNTIME
from wasmimg_testing.machines.traces import Traces, vanish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasmimg_testing.machines import DockerHost, Done

WASM = str(foreign.WASIP1)
#: does not tell containerd which image a container has
NAMELESS = "docker-26.1"


@pytest.fixture(scope="module")
def images(docker: DockerHost, foreign_images: Path) -> DockerHost:
    docker.load(foreign_images)
    return docker


@pytest.fixture(autouse=True)
def nothing_left(images: DockerHost) -> Iterator[None]:
    before = Traces.of(images.machine)
    yield
    images.clear()
    vanish(images.machine, before)


def run(images: DockerHost, platform: str, *words: str) -> Done:
    return images.docker("run", "--rm", "--runtime", RUNTIME, "--platform", platform, *words)


@pytest.mark.parametrize("name", foreign.PLATFORMS)
def test_every_name_of_the_platform(images: DockerHost, name: str) -> None:
    assert run(images, str(foreign.PLATFORMS[name]), f"test/{name}") == (0, "hello\n", "")
    words = ("--entrypoint", "/hello.wasm#quiet", f"test/{name}")
    assert run(images, str(foreign.PLATFORMS[name]), *words) == (0, "", "")


@pytest.mark.refused_by(NAMELESS)
@pytest.mark.parametrize("name", foreign.LAYERS)
def test_modules_that_are_layers(images: DockerHost, name: str, refused: bool) -> None:
    done = run(images, WASM, f"test/{name}")
    if not refused:
        assert done == (0, "hello\n", "")
        words = ("--init", "--entrypoint", "/hello.wasm#quiet", f"test/{name}")
        assert run(images, WASM, *words) == (0, "", "")
    else:
        assert (done.code, done.out) == (127, "")
        assert "/hello.wasm: no such file or directory" in done.err
        assert "does not say which image a container has (Docker does from version 27)" in done.err


@pytest.mark.refused_by(NAMELESS)
def test_several_modules_that_are_layers_are_told_apart_by_name(
    images: DockerHost, refused: bool
) -> None:
    if refused:
        assert run(images, WASM, "test/layer-two").code == 127
        return
    assert run(images, WASM, "test/layer-two").code == 42
    words = ("--entrypoint", "/hello.wasm", "test/layer-two")
    assert run(images, WASM, *words) == (0, "hello\n", "")
    done = run(images, WASM, "--entrypoint", "/other.wasm", "test/layer-two")
    assert (done.code, done.out) == (125, "")
    assert "2 modules as layers, none or several called /other.wasm" in done.err


def test_files_are_looked_for_before_layers(images: DockerHost) -> None:
    done = run(images, WASM, "--entrypoint", "/none.wasm", "test/wasip1")
    assert (done.code, "/none.wasm: no such file or directory" in done.err) == (127, True), done


@pytest.mark.refused_by("docker-28.5", "docker-26.1")
def test_an_artifact_by_itself(images: DockerHost) -> None:
    done = run(images, WASM, "test/artifact")
    assert (done.code, "no command specified" in done.err) == (125, True), done


@pytest.mark.refused_by(NAMELESS)
def test_an_artifact_with_a_command(images: DockerHost, refused: bool) -> None:
    done = run(images, WASM, "test/artifact", "hello.wasm")
    if refused:
        assert (done.code, "executable file not found" in done.err) == (127, True), done
    else:
        assert done == (0, "hello\n", "")
