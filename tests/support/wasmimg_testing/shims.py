"""A real shim for tests: its launcher, hand-made bundles, and what it may have left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import wasmtime

from wasmimg_shim import client, launcher

NAMESPACE = "test"
_IMPORTS = """
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "hello\\n")
"""
#: name -> body of _start
GUESTS = {
    "hello": """
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))""",
    "exit42": "(call $proc_exit (i32.const 42))",
    "trap": "unreachable",
    # a subscription to the monotonic clock: userdata, tag 0, id 1, timeout of an hour
    "sleep": """
      (i32.store (i32.const 272) (i32.const 1))
      (i64.store (i32.const 280) (i64.const 3600000000000))
      (drop (call $poll_oneoff (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 32)))""",
    # standard input to standard output, until its end
    "cat": """
      (loop $more
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1024))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (if (i32.load (i32.const 4)) (then
          (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
          (br $more))))""",
}


def guest(name: str) -> bytes:
    """Return one of GUESTS as a module; it also exports `quiet`, which does nothing."""
    return wasmtime.wat2wasm(
        f'(module {_IMPORTS} (func (export "_start") {GUESTS[name]}) (func (export "quiet")))'
    )


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition that no event tells of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def processes(mark: str) -> list[int]:
    """List the living processes that have `mark` in their environment or command line."""
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                texts = [
                    Path(f"/proc/{entry}/{name}").read_bytes() for name in ("environ", "cmdline")
                ]
                dead = b") Z " in Path(f"/proc/{entry}/stat").read_bytes()
                if not dead and any(mark.encode() in text for text in texts):
                    found.append(int(entry))
    return found


class ShimHost:
    """A run directory with a launcher; starts shims as containerd would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = str(root / "r")
        self.program = str(root / "containerd-shim-wasmimg-v1")
        launcher.write(self.program, launcher.text(sys.executable, launcher.own_paths()))
        self.environment = {
            **os.environ,
            "WASMIMG_RUN": self.run,
            "WASMIMG_CACHE": str(Path(tempfile.gettempdir()) / f"wasmimg-test-cache-{os.getuid()}"),
            "WASMIMG_ZYGOTE_IDLE_S": "60",
        }
        self.environment.pop("TTRPC_ADDRESS", None)

    def bundle(
        self,
        name: str,
        *args: str,
        files: dict[str, bytes] | None = None,
        env: tuple[str, ...] = ("PATH=/usr/bin",),
        annotations: dict[str, str] | None = None,
        host_programs: bool = False,
    ) -> str:
        """Make a bundle; `host_programs` shows the host's /usr in it, for Linux programs."""
        path = self.root / "b" / name
        (path / "rootfs").mkdir(parents=True)
        for file, content in (files or {}).items():
            (path / "rootfs" / file).write_bytes(content)
        mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
        if host_programs:
            for link in ("bin", "lib", "lib64"):
                (path / "rootfs" / link).symlink_to(f"usr/{link}")
            mounts.append(
                {
                    "destination": "/usr",
                    "type": "bind",
                    "source": "/usr",
                    "options": ["rbind", "ro"],  # type: ignore[dict-item]  # JSON
                }
            )
        namespaces = ("pid", "mount", "ipc", "uts", "network")
        config = {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {
                "args": list(args),
                "env": list(env),
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
            },
            "mounts": mounts,
            "annotations": annotations or {},
            "linux": {
                "cgroupsPath": f"/{self.root.name}-{name}",
                "namespaces": [{"type": kind} for kind in namespaces],
            },
        }
        (path / "config.json").write_text(json.dumps(config))
        return str(path)

    def wasm(self, name: str, kind: str, *args: str) -> str:
        """Make a bundle of one of GUESTS."""
        return self.bundle(name, "/app.wasm", *args, files={"app.wasm": guest(kind)})

    def command(
        self, bundle: str, verb: str, *, stdin: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a verb for the container named like the bundle's folder."""
        name = os.path.basename(bundle)
        words = [self.program, "-namespace", NAMESPACE, "-id", name]
        if verb == "delete":
            words += ["-bundle", bundle]
        return subprocess.run(
            [*words, verb],
            cwd=bundle,
            env={**self.environment, **more},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def start(self, bundle: str, *, stdin: bytes = b"", **more: str) -> str:
        """Run the start verb and return the address it printed."""
        done = self.command(bundle, "start", stdin=stdin, **more)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr == b""
        return done.stdout.decode()

    @contextlib.contextmanager
    def shim(self, bundle: str, **more: str) -> Iterator[client.TaskClient]:
        """Start a shim and connect to it."""
        with client.connect(self.start(bundle, **more), timeout=30) as connected:
            yield connected

    def close(self) -> None:
        """End what runs, and check that it does."""
        client.release_zygote(self.run)
        try:
            until(lambda: not processes(self.run))
        finally:
            for pid in processes(self.run):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            for bundle in (self.root / "b").glob("*"):
                self.command(str(bundle), "delete")
            shutil.rmtree(self.root, ignore_errors=True)
