"""`make demo-docker`: the same path, with `docker compose` to run it.

It runs on the Docker of this machine, where `wasmimg install` registers the runtime and `make
demo-docker-down` removes the containers; where no Docker answers, in a test machine with Docker
28.5, of which nothing stays when the command ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT: Final = demo.ROOT / "demo-microservice"
FILES: Final = ("compose.yaml", "compose.docker.yaml")
#: where a test machine has the Compose files and the page
MACHINE_PROJECT: Final = "/srv/demo-microservice"
MACHINE_WASMIMG: Final = "/opt/wasmimg/bin/wasmimg"
IMAGE: Final = f"{demo.REGISTRY}/demo-microservice"
OURS: Final = ("--runtime", "io.containerd.wasmimg.v1", "--platform", "wasi/wasm")


class Host(NamedTuple):
    """Where Docker runs: how a command there is worded here, and what lies where."""

    words: Callable[..., list[str]]
    wasmimg: str
    project: str

    def run(self, *words: str, quiet: bool = False) -> str:
        """Run a command there, its progress shown, and give what it printed; or end the demo."""
        if not quiet:
            print(f"$ {' '.join(words)}", flush=True)
        done = subprocess.run(
            self.words(*words), stdout=subprocess.PIPE, stdin=None, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.returncode)
        return done.stdout.strip()

    def compose(self, *words: str) -> str:
        """Run one `docker compose` command."""
        files = [word for name in FILES for word in ("-f", f"{self.project}/{name}")]
        print(f"$ docker compose {' '.join(words)}", flush=True)
        command = ("env", f"DEMO_REGISTRY={demo.REGISTRY}/", "docker", "compose", *files, *words)
        return self.run(*command, quiet=True)


def own_docker() -> bool:
    """Tell whether a Docker of this machine's answers."""
    if shutil.which("docker") is None:
        return False
    return not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """Find Docker on this machine, or make a machine with one and be in its network meanwhile."""
    if own_docker():
        yield Host(lambda *words: list(words), demo.WASMIMG, str(PROJECT))
        return
    sys.path.insert(0, str(demo.ROOT / "tests" / "support"))
    from wasmimg_testing.machines import FORKY, docker_host

    print("   no Docker answers here: in a test machine (its first start takes two minutes)")
    with docker_host(FORKY, shim=False) as docker, docker.machine.network():
        project = docker.machine.path(MACHINE_PROJECT)
        shutil.copytree(PROJECT / "client", project / "client")
        for name in FILES:
            shutil.copy(PROJECT / name, project)
        yield Host(docker.machine.words, MACHINE_WASMIMG, MACHINE_PROJECT)


def distribute(on: Host) -> None:
    """Push what was built, and let Docker pull it; no name that a user may have is given anew."""
    with demo.registry():
        demo.push()
        on.compose("pull", "--quiet")


def report(on: Host, begin: float) -> None:
    """Print what a visitor wants to know next."""
    print("\n== Containers, and a start")
    print(on.compose("ps", "--format", "table {{.Service}}\t{{.Image}}\t{{.Status}}\t{{.Ports}}"))
    words = ("run", "-d", "--rm", *OURS, "-p", "127.0.0.1:8099:8080", IMAGE)
    taken = demo.median_first_answer_ms(
        lambda: on.run("docker", *words, quiet=True),
        lambda name: on.run("docker", "stop", name, quiet=True),
    )
    print(f"   from `docker run` to HTTP 200: {taken:.0f} ms (median of {demo.STARTS})")
    print(f"\n== It runs ({time.monotonic() - begin:.0f} s in all)")


def up() -> None:
    """Do the whole demo."""
    begin = time.monotonic()
    demo.STATE.mkdir(parents=True, exist_ok=True)
    with demo.step("Build: source -> Wasm -> image"):
        demo.build()
    with contextlib.ExitStack() as stack:
        with demo.step("Docker: register the runtime"):
            on = stack.enter_context(host())
            on.run(on.wasmimg, "install", "--host", "docker")
        with demo.step("Distribute: push, then `docker pull`"):
            distribute(on)
        with demo.step("Run: docker compose up"):
            on.compose("up", "-d")
            demo.wait_for(f"{demo.SERVICE}/healthz")
        with demo.step("Use: orders through a Wasm service into MariaDB and back"):
            demo.play()
        report(on, begin)
        if on.project == MACHINE_PROJECT:
            with demo.step("End: docker compose down, and the machine with it"):
                on.compose("down", "-v")
        else:
            print(f"   page      {demo.PAGE}\n   service   {demo.SERVICE}/orders")
            print("   stop:     make demo-docker-down")


def down() -> None:
    """Remove the containers, networks and volumes from this machine's Docker; the images stay."""
    if own_docker():
        Host(lambda *words: list(words), demo.WASMIMG, str(PROJECT)).compose("down", "-v")
    else:
        print("no Docker answers here: the demo's test machine ended with it")


if __name__ == "__main__":
    if sys.argv[1:] not in (["up"], ["down"]):
        sys.exit("usage: demo_docker.py up|down")
    if os.geteuid() != 0:
        sys.exit("demo: Docker and its runtimes need root: sudo make demo-docker")
    {"up": up, "down": down}[sys.argv[1]]()
