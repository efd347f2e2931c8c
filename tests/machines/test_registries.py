"""Images that Docker pulls from a registry: ours, and Debian's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.installation import VENV
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasmimg_testing.machines import DockerHost

WASMIMG = f"{VENV}/bin/wasmimg"
DEBIAN = """
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/wasmimg/debian}, delete: {enabled: true}}
http: {addr: "127.0.0.1:5001"}
"""


@pytest.fixture(params=["ours", "debian"])
def registry(request: pytest.FixtureRequest, docker: DockerHost) -> Iterator[str]:
    """A registry in the machine that Docker runs on."""
    machine = docker.machine
    if request.param == "ours":
        host = "127.0.0.1:5000"
        words = (WASMIMG, "registry-serve", "/var/lib/wasmimg/registry", "--port", "5000")
    else:
        host = "127.0.0.1:5001"
        machine.path("/etc/registry.yml").write_text(DEBIAN)
        words = ("docker-registry", "serve", "/etc/registry.yml")
    serving = machine.serve(f"/var/log/{request.param}", *words, OTEL_TRACES_EXPORTER="none")
    try:
        until(lambda: machine.run("ss", "-Hltn", f"src {host}").out != "", "it listens")
        yield host
    finally:
        serving.kill()
        serving.wait()


def test_what_is_pushed_can_be_pulled_and_run(
    docker: DockerHost, registry: str, archive: Path
) -> None:
    machine = docker.machine
    machine.path("/tmp/images.tar").write_bytes(archive.read_bytes())
    machine.run(WASMIMG, "load", "-i", "/tmp/images.tar").well()
    for name in ("hello", "busy"):
        image = f"{registry}/team/{name}:1"
        machine.run(WASMIMG, "tag", f"test/{name}", image).well()
        machine.run(WASMIMG, "push", image).well()
    hello, busy = (f"{registry}/team/{name}:1" for name in ("hello", "busy"))
    docker.docker("pull", "--platform", "wasi/wasm", hello).well()
    assert docker.run("--rm", "--pull", "never", hello) == (0, "hello\n", "")
    assert docker.docker("run", "--rm", busy, "echo", "linux").out == "linux\n"
    assert docker.run("--rm", "--pull", "always", hello).out == "hello\n"
    docker.docker("rmi", "-f", hello, busy).well()
