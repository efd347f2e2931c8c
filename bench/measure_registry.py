"""Pushing and pulling 1 GiB next to skopeo, over loopback, with Debian's registry on the other end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rows import Row, paired, repeated
from stage import ENVIRONMENT, STATE, WASMIMG, free_port

from wasmimg_images.document import encode
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE: Final = 1 << 30
RUNS: Final = 3
FOLDER: Final = STATE / "registry"
PEER: Final = ("skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests")


class Used(NamedTuple):
    """What one command took: seconds on the clock and on the processor, MiB at most resident."""

    wall: float
    processor: float
    resident: float


def measure() -> list[Row]:
    """Push and pull with both tools in turn, each to a registry that has nothing."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    store = Store(FOLDER / "home" / "store")
    image = _make_image(store)
    taken: dict[str, list[Used]] = {}

    def timed(name: str, transfer: Callable[[Store, Descriptor], Used]) -> Callable[[], float]:
        def once() -> float:
            used = transfer(store, image)
            taken.setdefault(name, []).append(used)
            return used.wall

        return once

    try:
        push = paired(timed("push", _push), timed("peer push", _peer_push), RUNS)
        pull = paired(timed("pull", _pull), timed("peer pull", _peer_pull), RUNS)
        unchanged = _unchanged(store, image)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    rows = [
        Row("registry.push_1gib.wasmimg_over_skopeo", "s", "wasmimg push", RUNS, push[0],
            "skopeo copy", push[1], "<= 1.3"),
        Row("registry.pull_1gib.wasmimg_over_skopeo", "s", "wasmimg pull", RUNS, pull[0],
            "skopeo copy", pull[1], "<= 1.3"),
        Row("registry.unchanged_push_s", "s", "wasmimg push, nothing new", 9, unchanged,
            target="<= 0.15"),
    ]  # fmt: skip
    for name in ("push", "pull"):
        ours, peers = taken[name], taken[f"peer {name}"]
        resident = max(used.resident for used in ours)
        rows.append(
            Row(f"registry.{name}_1gib.rss_mib", "MiB", f"wasmimg {name}", RUNS, resident,
                target="<= 64")
        )  # fmt: skip
        rows.append(
            Row(f"registry.{name}_1gib.cpu_wasmimg_over_skopeo", "s", f"wasmimg {name}", RUNS,
                _middle(ours), "skopeo copy", _middle(peers))
        )  # fmt: skip
    return rows


class _Noise:
    """Random bytes that need not be held."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = os.urandom(min(size, self._left))
        self._left -= len(data)
        return data


def _make_image(store: Store) -> Descriptor:
    layer = store.ingest(_Noise(SIZE), None, OCI_LAYER)
    config = {
        "os": "wasi",
        "architecture": "wasm",
        "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": store.write(encode(config), OCI_CONFIG).document(),
        "layers": [layer.document()],
    }
    image = store.write(encode(manifest), OCI_MANIFEST)
    store.tag(Reference.parse("bench:1"), image)
    return image


def _push(store: Store, image: Descriptor) -> Used:
    with _registry() as host:
        name = f"{host}/bench:1"
        store.tag(Reference.parse(name), image)
        try:
            return _run([WASMIMG, "push", "--quiet", name], store.root.parent)
        finally:
            store.untag(Reference.parse(name))


def _peer_push(store: Store, image: Descriptor) -> Used:
    with _registry() as host:
        return _peer_copy(store, image, host)


def _peer_copy(store: Store, image: Descriptor, host: str) -> Used:
    del image
    source = f"oci:{store.root}:docker.io/library/bench:1"
    target = f"docker://{host}/bench:1"
    return _run([*PEER, "--dest-tls-verify=false", source, target], store.root.parent)


def _pull(store: Store, image: Descriptor) -> Used:
    with _registry() as host:
        _peer_copy(store, image, host)
        home = FOLDER / "pulled"
        try:
            return _run([WASMIMG, "pull", "--quiet", f"{host}/bench:1"], home)
        finally:
            shutil.rmtree(home)


def _peer_pull(store: Store, image: Descriptor) -> Used:
    with _registry() as host:
        _peer_copy(store, image, host)
        target = FOLDER / "peer"
        source = f"docker://{host}/bench:1"
        try:
            return _run([*PEER, "--src-tls-verify=false", source, f"oci:{target}:x"], FOLDER)
        finally:
            shutil.rmtree(target)


def _unchanged(store: Store, image: Descriptor) -> float:
    with _registry() as host:
        name = f"{host}/bench:1"
        store.tag(Reference.parse(name), image)
        _peer_copy(store, image, host)
        push = [WASMIMG, "push", "--quiet", name]
        return repeated(lambda: _run(push, store.root.parent).wall, 9)


def _run(command: list[str], home: Path) -> Used:
    """Run a command to its end; what is still to be written from before is written first."""
    os.sync()
    environment = {
        **ENVIRONMENT,
        "WASMIMG_HOME": str(home),
        "DOCKER_CONFIG": str(FOLDER / "docker"),
    }
    begin = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextlib.contextmanager
def _registry() -> Iterator[str]:
    """Run Debian's registry on an empty folder."""
    port, folder = free_port(), FOLDER / "served"
    folder.mkdir(parents=True)
    config = folder / "config.yml"
    document = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    config.write_text(json.dumps(document))  # JSON is YAML
    command = ["docker-registry", "serve", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.01)
    raise RuntimeError("docker-registry has ended")


def _middle(used: list[Used]) -> float:
    return sorted(each.processor for each in used)[len(used) // 2]
