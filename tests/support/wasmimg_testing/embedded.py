"""A home of its own for containers, with a Linux and a Wasm image, and a look for what is left."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wasmtime import wat2wasm

from wasmimg_compose import lifecycle
from wasmimg_compose.container import DEFAULT_NETWORK, ContainerSpec
from wasmimg_compose.network.networks import Networks
from wasmimg_compose.record import Record, Records
from wasmimg_images.image import host_platform
from wasmimg_images.layout import Store
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, busybox_files, layer

if TYPE_CHECKING:
    from wasmimg_images.home import Home

#: Prints a line on each stream and exits with 42.
HELLO = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello from wasm\n")
  (data (i32.const 48) "trouble\n")
  (func $say (param i32 i32 i32)
    (i32.store (i32.const 0) (local.get 1))
    (i32.store (i32.const 4) (local.get 2))
    (drop (call $write (local.get 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $say (i32.const 1) (i32.const 16) (i32.const 16))
    (call $say (i32.const 2) (i32.const 48) (i32.const 8))
    (call $exit (i32.const 42))))
"""
PATIENCE = 40.0


def until(holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition; AssertionError if it does not come."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


class Machine:
    """One home; the calls that the tests make most."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.records = Records.of(home)
        store = Store(home.store)
        add_image(
            store,
            "busy",
            [layer(busybox_files())],
            {"Cmd": ["sh"], "Env": ["GREETING=hi"]},
            host_platform(),
        )
        add_image(
            store,
            "hello",
            [layer({"hello.wasm": bytes(wat2wasm(HELLO))})],
            {"Entrypoint": ["/hello.wasm"]},
            Platform("wasi", "wasm"),
        )

    def start(self, spec: ContainerSpec) -> Record:
        """Make and start a container."""
        return lifecycle.start(self.home, lifecycle.create(self.home, spec).id)

    def shell(self, script: str, **options: object) -> Record:
        """Start a Linux container that runs a script."""
        spec = ContainerSpec("busy", command=("sh", "-c", script))
        return self.start(spec._replace(**options))  # type: ignore[arg-type]  # fields of the spec

    def output(self, record: Record) -> str:
        """Wait for its end and give its log."""
        lifecycle.wait(self.home, record.id)
        return self.log(record)

    def log(self, record: Record) -> str:
        """Give what it has written by now."""
        return self.records.log(record.id).read_text(errors="replace")

    def supervisor(self, project: str = "run") -> int | None:
        """Find a project's supervisor by the lock that it holds."""
        lock = self.home.run / "projects" / project / "lock"
        try:
            inode = lock.stat().st_ino
        except FileNotFoundError:
            return None
        for line in Path("/proc/locks").read_text().splitlines():
            columns = line.split()
            if columns[1] == "FLOCK" and columns[5].endswith(f":{inode}"):
                return int(columns[4])
        return None

    def clear(self) -> None:
        """Remove all containers and networks."""
        for record in lifecycle.containers(self.home):
            lifecycle.remove(self.home, record.id, force=True, volumes=True)
        for network in Networks.of(self.home).all():
            Networks.of(self.home).remove(network.name)

    def leftovers(self) -> list[str]:
        """List what is there of this home besides plain files: it should be nothing."""
        mark = str(self.home.run)
        found = [line.split()[4] for line in _lines("/proc/self/mountinfo") if mark in line]
        found += [f"process {pid}" for pid in _processes(mark)]
        found += [f"socket {line.split()[-1]}" for line in _lines("/proc/net/unix") if mark in line]
        found += [str(path) for path in (self.home.run / "networks").glob("*")]
        found += [str(path) for path in (self.home.run / "netns").glob("*")]
        found += [str(path) for path in (self.home.run / "bundles").glob("*")]
        bridge = Networks.of(self.home).bridge(DEFAULT_NETWORK)
        tables = subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE, check=True)
        found += [line for line in tables.stdout.decode().splitlines() if bridge in line]
        return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _processes(mark: str) -> list[str]:
    """Find processes that name the folder, in their arguments or as an open file."""
    found: list[str] = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            named = mark in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            opened = any(
                mark in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
            )
        except OSError:
            continue
        if named or opened:
            found.append(pid)
    return found


def free_port() -> int:
    """Find a TCP port that nobody has at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number
