"""The real program of Wasm containers in the closed sandbox: everything it needs is let through."""

from __future__ import annotations

import os
import signal

import pytest
import wasmtime

from wasmimg_shim.engine import load_engine
from wasmimg_shim.guest import Guest, Preopen, WasmProgram
from wasmimg_shim.seccomp_profile import default_profile, document
from wasmimg_testing.sandbox import DOCKER_CAPABILITIES, Boxes, memory_file, reap

pytestmark = pytest.mark.root
#: reads /greeting into memory, writes it to standard output, and ends with 42
READER = """
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "greeting")
  (data (i32.const 16) "\\40\\00\\00\\00\\20\\00\\00\\00")
  (func (export "_start")
    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32))
      (if (result i32) (then (i32.const 7)) (else
        (drop (call $read (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 36)))
        (i32.store (i32.const 20) (i32.load (i32.const 36)))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 36)))
        (i32.const 42))))))
"""
FOREVER = """
(module
  (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))
"""


@pytest.fixture(scope="module")
def engine() -> object:
    return load_engine()


def program(engine: object, wat: str) -> tuple[WasmProgram, int]:
    code = memory_file()
    os.write(code, engine.compile(wasmtime.wat2wasm(wat)))  # type: ignore[attr-defined]
    guest = Guest(("/app.wasm",), preopens=(Preopen("/", "/", writable=False),))
    return WasmProgram(engine, code, guest), code  # type: ignore[arg-type]


@pytest.fixture
def closed(boxes: Boxes) -> Boxes:
    """As tight as it gets: no capabilities, another user, default profile, read-only, limits."""
    process, linux = boxes.configuration["process"], boxes.configuration["linux"]
    process |= {"user": {"uid": 65534, "gid": 65534}, "capabilities": {}, "noNewPrivileges": True}
    linux["seccomp"] = document(default_profile(()))
    linux["resources"] = {"memory": {"limit": 256 << 20}, "pids": {"limit": 8}}
    boxes.configuration["root"]["readonly"] = True
    return boxes


@pytest.mark.parametrize("tight", [True, False])
def test_a_guest_reads_its_files_and_its_status_arrives(
    closed: Boxes, engine: object, tight: bool
) -> None:
    if not tight:
        closed.configuration["process"] |= {
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": False,
            "capabilities": {
                kind: list(DOCKER_CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
        }
    (closed.rootfs / "greeting").write_text("hello from inside\n")
    wasm, code = program(engine, READER)
    output = memory_file()
    child = closed.confirmed(wasm, stdio=(output, output, 2), keep=(code,))
    os.close(code)
    child.start()
    assert reap(child) == 42
    assert os.pread(output, 100, 0) == b"hello from inside\n"
    os.close(output)


def test_a_guest_that_never_ends_is_ended_by_a_signal(closed: Boxes, engine: object) -> None:
    wasm, code = program(engine, FOREVER)
    child = closed.confirmed(wasm, keep=(code,))
    os.close(code)
    child.start()
    child.kill(signal.SIGINT)
    assert reap(child) == 128 + signal.SIGINT
