"""kill -9 of the server or the client at any moment: nothing half-done, and the next run works."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.image import select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.registry.blob_upload import CHUNK_SIZE
from wasmimg_images.registry.client import Client
from wasmimg_images.registry.failure import Unreachable
from wasmimg_testing.faults import FaultProxy
from wasmimg_testing.registries import Registry, free_port, listens, until
from wasmimg_testing.samples import add_manifest, content

if TYPE_CHECKING:
    from wasmimg_images.registry.progress import Progress, Watch

SIZE, CHUNK = 12_000_000, 300_000


class Served:
    """`wasmimg registry-serve` as a process that can be killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "wasmimg",
                "registry-serve",
                self.folder,
                "--port",
                str(self.port),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: listens(self.port), self.process.poll)

    def end(self, number: int = signal.SIGKILL) -> str:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=10)
        return errors


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "served", free_port())
    yield served
    if served.process.poll() is None:
        served.end()


def test_sigterm_ends_it_cleanly(served: Served) -> None:
    errors = served.end(signal.SIGTERM)
    assert served.process.returncode == 0
    assert re.fullmatch(rf"Serving \S+ on http://127\.0\.0\.1:{served.port}\n", errors)


def test_a_second_server_says_what_is_wrong(served: Served, tmp_path: Path) -> None:
    for arguments, words in (
        ([str(tmp_path / "other"), "--port", str(served.port)], "Address already in use"),
        ([str(served.folder), "--port", "0"], "is served by another registry"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "wasmimg", "registry-serve", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 7
        assert words in done.stderr
        assert "hint: " in done.stderr
        assert len(done.stderr.splitlines()) == 2
    assert not (tmp_path / "other").exists()


def test_a_push_goes_on_after_the_server_s_death(
    served: Served, tmp_path: Path, client: Client
) -> None:
    store = Store(tmp_path / "store")
    root = add_manifest(store, [content(SIZE)])
    name = Reference.parse(f"127.0.0.1:{served.port}/a:1")
    seen: list[int] = []

    def kill_half_way(progress: Progress) -> None:
        if progress.descriptor.size == SIZE and progress.state == "running":
            seen.append(progress.done)
            if progress.done > SIZE // 2 and served.process.poll() is None:
                served.end()

    with pytest.raises(Unreachable):
        client.push(store, name, root, kill_half_way)
    reached = max(seen)
    served.start()
    seen.clear()
    client.push(store, name, root, noting(seen))
    assert seen[0] >= reached - 2 * CHUNK
    assert client.pull(Store(tmp_path / "other"), name) == root
    assert list((served.folder / "uploads").iterdir()) == []


def noting(seen: list[int]) -> Watch:
    def watch(progress: Progress) -> None:
        if progress.descriptor.size == SIZE and progress.state == "running":
            seen.append(progress.done)

    return watch


def test_a_push_goes_on_after_the_client_s_death(registry: Registry, tmp_path: Path) -> None:
    size = 150_000_000
    with FaultProxy(registry.host) as proxy:
        run = CommandLine(tmp_path)
        root = add_manifest(run.store, [content(size)])
        name = Reference.parse(f"{proxy.host}/a:1")
        run.store.tag(name, root)
        process = run.start("push", str(name))
        until(lambda: proxy.sent > size // 2 or process.poll() is not None)
        process.kill()
        process.communicate()
        done = run.start("push", "--json", str(name))
        output, errors = done.communicate(timeout=60)
        assert done.returncode == 0, errors
        assert json.loads(output)["digest"] == str(root.digest)
        assert proxy.sent < size + CHUNK_SIZE  # what had arrived was not sent again
        assert list((run.folder / "cache/uploads").iterdir()) == []


def test_a_pull_killed_half_way_leaves_no_image(registry: Registry, tmp_path: Path) -> None:
    source = Store(tmp_path / "source")
    root = add_manifest(source, [content(60_000_000)])
    name = Reference.parse(f"{registry.host}/a:1")
    with Client.from_environ({}) as pushing:
        pushing.push(source, name, root)
    run = CommandLine(tmp_path)
    process = run.start("pull", str(name))
    ingest = run.store.root / "ingest"
    until(lambda: any(ingest.glob("*")) or process.poll() is not None)
    process.kill()
    process.communicate()
    assert run.store.images() == []
    done = run.start("pull", str(name))
    output, errors = done.communicate(timeout=60)
    assert (done.returncode, output) == (0, f"{name.familiar_name}@{root.digest}\n"), errors
    run.store.gc()
    assert list(ingest.iterdir()) == []
    assert select(run.store, root).descriptor.digest == root.digest


class CommandLine:
    """`wasmimg` with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "command"
        self.store = Store(self.folder / "home/store")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        places = {"HOME": "home", "CACHE": "cache", "RUN": "run"}
        environ = {f"WASMIMG_{n}": str(self.folder / p) for n, p in places.items()}
        return subprocess.Popen(
            [sys.executable, "-m", "wasmimg", *arguments],
            env={**os.environ, **environ, "DOCKER_CONFIG": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
