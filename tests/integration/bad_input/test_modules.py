"""Modules and entrypoints that can't be: refused by `build`, or by `run` from an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from wasmimg_images.layout import Store
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, busybox_files, layer
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from wasmimg_testing.commandline import CommandLine

pytestmark = [pytest.mark.root, pytest.mark.network]
WASI, LINUX = Platform("wasi", "wasm"), Platform("linux", "amd64")


def assemble(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


HELLO = bytes(guest("hello"))
UNKNOWN = assemble("""(module
  (import "env" "mystery" (func))
  (import "wasi_snapshot_preview1" "fd_teleport" (func (param i32)))
  (memory (export "memory") 1) (func (export "_start")))""")
LIBRARY = assemble('(module (memory (export "memory") 1) (func (export "help")))')
#: Well formed as far as sections go; the function leaves nothing for its `drop`.
UNTYPED = assemble(
    '(module (memory (export "memory") 1) (func (export "_start") (drop (i32.const 7))))'
).replace(b"\x41\x07\x1a", b"\x01\x01\x1a")
COMPONENT = assemble("(component)")

#: name -> (module, what `build` says of it, what `run` says of it)
BROKEN = {
    "truncated": (HELLO[:-9], "truncated", "unexpected end"),
    "preamble": (HELLO[:5], "truncated", "unexpected end"),
    "junk": (HELLO[:8] + b"\xff" * 50, "byte 8", "malformed section id"),
    "empty": (b"", "empty", "exec format error"),
    "text": (b"no program", "6e 6f 20 70", "neither a Wasm module nor a Linux program"),
    "unknown-import": (UNKNOWN, "env.mystery, wasi_snapshot_preview1.fd_teleport", "env.mystery"),
    "library": (LIBRARY, "_start", "_start"),
}
FORMS = [(module, built) for module, built, _ in BROKEN.values()]
RUNS = [(module, run) for module, _, run in BROKEN.values()]


@pytest.mark.parametrize(("module", "words"), FORMS, ids=BROKEN)
def test_build_refuses(wasmimg: CommandLine, tmp_path: Path, module: bytes, words: str) -> None:
    (tmp_path / "app.wasm").write_bytes(module)
    before = blobs(wasmimg)
    wasmimg("build", tmp_path / "app.wasm", "-t", "app").says(3, "app.wasm", words)
    assert blobs(wasmimg) == before


def blobs(wasmimg: CommandLine) -> set[str]:
    return {str(path) for path in wasmimg.home.store.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("module", "words"),
    [*RUNS, (UNTYPED, "type mismatch"), (COMPONENT, "component")],
    ids=[*BROKEN, "untyped", "component"],
)
def test_run_refuses(wasmimg: CommandLine, module: bytes, words: str) -> None:
    store = Store(wasmimg.home.store)
    packed = layer({"app.wasm": module})
    add_image(store, "app", [packed], {"Entrypoint": ["/app.wasm"]}, WASI)
    wasmimg("run", "--name", "broken", "app").says(126, "app.wasm", words)


FILES: dict[str, bytes | str] = {
    **busybox_files(),
    "app.wasm": HELLO,
    "notes": b"no program",
    "escape": "/../../../../../../bin/true",
    "loop": "loop",
}
ENTRYPOINTS = {
    "missing": (WASI, "/nowhere.wasm", 127),
    "missing-linux": (LINUX, "/nowhere", 127),
    "missing-name": (LINUX, "nowhere", 127),
    "folder": (WASI, "/bin", 126),
    "not-wasm": (LINUX, "/notes", 126),
    "through-a-file": (WASI, "/notes/app.wasm", 127),
    "link-out-of-the-root": (LINUX, "/escape", 127),
    "circle": (LINUX, "/loop", 126),
}


@pytest.mark.parametrize(("platform", "program", "code"), ENTRYPOINTS.values(), ids=ENTRYPOINTS)
def test_entrypoints(wasmimg: CommandLine, platform: Platform, program: str, code: int) -> None:
    store = Store(wasmimg.home.store)
    files = {name: content for name, content in FILES.items() if name != "bin/true"}
    add_image(store, "app", [layer(files)], {"Entrypoint": [program]}, platform)
    wasmimg("run", "--rm", "app").says(code, program)


def test_a_file_without_the_right_to_execute(wasmimg: CommandLine, tmp_path: Path) -> None:
    program = tmp_path / "root" / "program"
    program.parent.mkdir()
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o644)
    wasmimg("import", tmp_path / "root", "-t", "plain").well()
    wasmimg("run", "--rm", "plain", "/program").says(126, "/program", "permission denied")


def test_nothing_to_run(wasmimg: CommandLine) -> None:
    add_image(Store(wasmimg.home.store), "app", [layer({"a": b""})], {}, WASI)
    wasmimg("run", "--rm", "app").says(3, "no entrypoint")


@pytest.mark.parametrize("platform", [Platform("linux", "s390x"), Platform("windows", "amd64")])
def test_no_image_for_this_machine(wasmimg: CommandLine, platform: Platform) -> None:
    config = {"Entrypoint": ["/app"]}
    add_image(Store(wasmimg.home.store), "app", [layer({"app": b""})], config, platform)
    refused = wasmimg("run", "--rm", "app")
    refused.says(4, "platform")
    assert str(platform) in refused.err
    wasmimg("run", "--rm", "--platform", "linux/ppc64le", "hello").says(4, "linux/ppc64le")
    wasmimg("run", "--rm", "--platform", "nonsense", "hello").says(3, "nonsense")


def test_how_guests_end_is_told(wasmimg: CommandLine) -> None:
    assert wasmimg("run", "--rm", "exit42").code == 42
    trapped = wasmimg("run", "--rm", "trap")
    assert trapped.code == 134
    assert "unreachable" in trapped.err
    assert "Traceback" not in trapped.err
