from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from wasmimg_builder.build import Builder, Request
from wasmimg_images.errors import BuildFailed, InvalidInput, NotFound, WasmimgError
from wasmimg_images.image import load, select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.snapshot import Snapshots
from wasmimg_images.spec import Index, Platform
from wasmimg_images.validate import validate
from wasmimg_images.wasm_layer import WASM_LAYER, file_name

if TYPE_CHECKING:
    from wasmimg_builder.compilation import Command

#: The image of HELLO: changes only when the format of images does, on purpose.
GOLDEN = "sha256:d47a48f373b2cf37974392e6c6fa33da604173db0463b591d2c339885f318e4e"
#: (module (memory (export "memory") 1) (func (export "_start")))
HELLO = bytes.fromhex(
    "0061736d 01000000 0104 01600000 0302 0100 0503 010001"
    "0713 02 06 6d656d6f7279 0200 06 5f7374617274 0000 0a04 0102000b",
)
FORK = multiprocessing.get_context("fork")
PROJECT = """
ports: [8080]
env: {PORT: 8080}
files: {/srv: public}
healthcheck: {test: [CMD, probe]}
"""


def module(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def builder(store: Store, cache: Path, said: list[str] | None = None, **environ: str) -> Builder:
    environ = {"PATH": os.environ["PATH"], **environ}
    return Builder(store, cache, environ, (said if said is not None else []).append)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "public/inner").mkdir(parents=True)
    (folder / "public/index.html").write_text("<p>")
    (folder / "public/inner/run.sh").write_text("#!")
    (folder / "public/inner/run.sh").chmod(0o700)
    (folder / "public/link").symlink_to("index.html")
    (folder / "hello.wasm").write_bytes(HELLO)
    (folder / "wasmimg.yaml").write_text(f"source: hello.wasm\n{PROJECT}")
    return folder


def test_a_module_becomes_the_same_image_everywhere(store: Store, tmp_path: Path) -> None:
    (tmp_path / "hello.wasm").write_bytes(HELLO)
    built = builder(store, tmp_path / "cache").build(Request(tmp_path / "hello.wasm"))
    assert str(built.descriptor.digest) == GOLDEN
    assert built.toolchain == "prebuilt"
    assert built.references == (Reference.parse("hello"),)
    assert validate(store, built.descriptor) == []
    assert store.resolve(Reference.parse("hello")) == built.descriptor


def test_the_index_is_the_one_that_every_host_takes(store: Store, project: Path) -> None:
    built = builder(store, project / "cache").build(Request(project))
    entries = Index.parse(store.read(built.descriptor)).manifests
    assert [str(entry.platform) for entry in entries] == [
        "wasi/wasm",
        "wasip1/wasm",
        "linux/amd64",
        "linux/arm64",
    ]
    assert entries[0].digest == entries[1].digest
    images = [select(store, built.descriptor, [e.platform]) for e in entries if e.platform]
    assert len({image.manifest.layers[0].digest for image in images}) == 1
    notes = [dict(image.manifest.annotations) for image in images]
    assert notes == [{}, {}, *[{"module.wasm.image/variant": "compat-smart"}] * 2]
    config = images[0].config
    assert config.entrypoint == ("/hello.wasm",)
    assert config.env == ("PATH=/", "PORT=8080")
    assert config.exposed_ports == ("8080/tcp",)
    assert config.healthcheck is not None
    assert config.created == "1970-01-01T00:00:00Z"


def test_one_manifest_if_asked(store: Store, project: Path) -> None:
    built = builder(store, project / "cache").build(Request(project, shape="single"))
    assert select(store, built.descriptor).config.platform == Platform("wasi", "wasm")


@pytest.mark.parametrize(
    ("content", "platform"), [(HELLO, "wasip1/wasm"), (module("(component)"), "wasip2/wasm")]
)
def test_an_artifact_is_the_module_alone(
    store: Store, tmp_path: Path, content: bytes, platform: str
) -> None:
    (tmp_path / "c.wasm").write_bytes(content)
    request = Request(tmp_path / "c.wasm", shape="artifact")
    first, second = (builder(store, tmp_path / "cache").build(request) for _ in range(2))
    assert first.descriptor == second.descriptor
    image = load(store, first.descriptor)
    (layer,) = image.manifest.layers
    assert (layer.media_type, file_name(layer)) == (WASM_LAYER, "c.wasm")
    assert store.read(layer) == content
    assert (str(image.config.platform), image.config.entrypoint) == (platform, ("/c.wasm",))
    config = json.loads(store.read(image.manifest.config))
    assert config["layerDigests"] == [str(layer.digest)]
    assert ("component" in config) is (content != HELLO)
    assert validate(store, first.descriptor) == []


def test_an_artifact_has_no_files(store: Store, project: Path) -> None:
    with pytest.raises(InvalidInput, match="no place for `files`"):
        builder(store, project / "cache").build(Request(project, shape="artifact"))


def test_a_component_is_listed_as_one(store: Store, tmp_path: Path) -> None:
    (tmp_path / "c.wasm").write_bytes(module("(component)"))
    built = builder(store, tmp_path / "cache").build(Request(tmp_path / "c.wasm"))
    entries = Index.parse(store.read(built.descriptor)).manifests
    assert str(entries[1].platform) == "wasip2/wasm"


def test_files_come_into_the_image_with_fixed_modes(
    store: Store, project: Path, tmp_path: Path
) -> None:
    built = builder(store, tmp_path / "cache").build(Request(project))
    image = select(store, built.descriptor)
    (root,) = Snapshots(tmp_path / "snapshots").layers(store, image)
    found = {
        str(path.relative_to(root)): oct(path.lstat().st_mode & 0o777)
        for path in root.rglob("*")
        if not path.is_symlink()
    }
    assert found == {
        "hello.wasm": "0o755",
        "srv": "0o755",
        "srv/index.html": "0o644",
        "srv/inner": "0o755",
        "srv/inner/run.sh": "0o755",
    }
    assert (root / "srv/link").readlink() == Path("index.html")
    assert (root / "srv/index.html").stat().st_mtime == 0


@pytest.fixture
def moved(project: Path, tmp_path: Path) -> Iterator[Path]:
    """The same project in another folder, made under another umask, with other times."""
    umask = os.umask(0o077)
    try:
        target = tmp_path / "elsewhere/deep/copy"
        shutil.copytree(project, target, symlinks=True, copy_function=shutil.copyfile)
        (target / "public/inner/run.sh").chmod(0o700)
        yield target
    finally:
        os.umask(umask)


def test_folder_umask_times_and_zone_do_not_matter(
    store: Store, project: Path, moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = builder(store, tmp_path / "cache").build(Request(project))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    other = Store(tmp_path / "other store")
    there = builder(other, tmp_path / "other", HOME="/nowhere").build(Request(moved))
    monkeypatch.undo()
    time.tzset()
    assert here.descriptor == there.descriptor


def test_source_date_epoch_is_the_time_of_everything(store: Store, project: Path) -> None:
    build = builder(store, project / "cache", SOURCE_DATE_EPOCH="1700000000")
    image = select(store, build.build(Request(project)).descriptor)
    assert image.config.created == "2023-11-14T22:13:20Z"
    with pytest.raises(InvalidInput, match="SOURCE_DATE_EPOCH"):
        builder(store, project / "cache", SOURCE_DATE_EPOCH="soon")


def test_a_plan_does_nothing(store: Store, project: Path) -> None:
    plan = builder(store, project / "cache").plan(Request(project))
    platforms = "wasi/wasm, wasip1/wasm, linux/amd64, linux/arm64"
    assert [operation.describe() for operation in plan.operations()] == [
        f"take the module {project}/hello.wasm",
        "pack /hello.wasm and /srv into a layer",
        f"assemble an index for {platforms}; entrypoint /hello.wasm",
        "tag hello:latest",
    ]
    assert not store.root.exists()
    assert not (project / "cache").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (HELLO[:-3], "truncated: the code section"),
        (b"#!/bin/sh\n", "is not WebAssembly"),
        (
            module('(module (import "env" "foo" (func)) (import "env" "bar" (func)))'),
            "imports what no host has: env.foo, env.bar",
        ),
        (module('(module (import "wasi_unstable" "fd_write" (func)))'), "wasi_unstable.fd_write"),
        (module("(module)"), "exports no function _start"),
    ],
)
def test_modules_that_can_not_run_are_refused(
    store: Store, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "app.wasm").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"app\.wasm") as caught:
        builder(store, tmp_path / "cache").build(Request(tmp_path / "app.wasm"))
    assert message in caught.value.message
    assert store.images() == []


@pytest.mark.parametrize(
    "name", ["sock_open", "sock_accept_v2", "sock_getaddrinfo", "epoll_oneoff"]
)
def test_wasmedges_sockets_are_known(store: Store, tmp_path: Path, name: str) -> None:
    text = f'(module (import "wasi_snapshot_preview1" "{name}" (func)) (func (export "_start")))'
    (tmp_path / "app.wasm").write_bytes(module(text))
    assert builder(store, tmp_path / "cache").build(Request(tmp_path / "app.wasm"))


def test_an_entrypoint_may_name_another_function(store: Store, tmp_path: Path) -> None:
    (tmp_path / "app.wasm").write_bytes(module('(module (func (export "go")))'))
    (tmp_path / "wasmimg.yaml").write_text("source: app.wasm\nentrypoint: ['/app.wasm#go']\n")
    assert builder(store, tmp_path / "cache").build(Request(tmp_path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("{/srv: missing}", "wasmimg.yaml:2:15: "),
        ("{/hello.wasm: public/index.html}", "is both the module and one of `files`"),
        ("{/x: public, /x/index.html: wasmimg.yaml}", "is there twice"),
        ("{/x: hello.wasm, /x/y: hello.wasm}", "both a file and a folder"),
    ],
)
def test_files_that_can_not_be_are_refused(
    store: Store, project: Path, files: str, message: str
) -> None:
    (project / "wasmimg.yaml").write_text(f"source: hello.wasm\nfiles: {files}\n")
    with pytest.raises(WasmimgError) as caught:
        builder(store, project / "cache").build(Request(project))
    assert message in caught.value.message


def test_nothing_to_build_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing to build"):
        builder(store, tmp_path / "cache").build(Request(tmp_path))
    with pytest.raises(NotFound, match="does not exist"):
        builder(store, tmp_path / "cache").build(Request(tmp_path / "missing"))


class FakeCargo:
    """Stands for cargo: writes the module where cargo would, or fails as it does."""

    def __init__(self, status: int = 0) -> None:
        self.commands: list[Command] = []
        self.status = status

    def __call__(self, command: Command, on_line: Callable[[str], None]) -> int:
        self.commands.append(command)
        if command.arguments[1] == "build":
            on_line("error[E0425]: cannot find value `x`")
            target = Path(command.env["CARGO_TARGET_DIR"]) / "wasm32-wasip1/release"
            target.mkdir(parents=True, exist_ok=True)
            (target / "app.wasm").write_bytes(HELLO)
            source = f"{command.folder}/src/main.rs {command.folder}/../common\\ file.txt"
            (target / "app.d").write_text(f"{target}/app.wasm: {source}\n")
            return self.status
        return 0


@pytest.fixture
def crate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Cargo project, and a compiler that has the target."""
    folder = tmp_path / "crate"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text('[package]\nname = "app"\n')
    (folder / "Cargo.lock").write_text("")
    (folder / "src/main.rs").write_text("fn main() {}")
    (tmp_path / "common file.txt").write_text("1")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (tmp_path / "sysroot/lib/rustlib/wasm32-wasip1/lib").mkdir(parents=True)
    for name in ("rustc", "cargo"):
        (binaries / name).write_text(f"#!/bin/sh\necho {tmp_path}/sysroot\n")
        (binaries / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    return folder


def compiling(store: Store, crate: Path, cargo: FakeCargo, said: list[str]) -> Builder:
    environ = {"PATH": os.environ["PATH"], "HOME": str(crate.parent), "SECRET": "1"}
    return Builder(store, crate.parent / "cache", environ, said.append, runner=cargo)


def test_cargo_is_called_with_fixed_names_for_folders(store: Store, crate: Path) -> None:
    cargo = FakeCargo()
    compiling(store, crate, cargo, []).build(Request(crate))
    assert [command.arguments[1] for command in cargo.commands] == ["fetch", "build"]
    build = cargo.commands[1]
    assert "--locked" in build.arguments
    assert "profile.release.strip=true" in build.arguments
    flags = build.env["CARGO_ENCODED_RUSTFLAGS"].split("\x1f")
    assert f"--remap-path-prefix={crate}=/src" in flags
    assert f"--remap-path-prefix={crate.parent}/.cargo=/cargo" in flags
    assert "SECRET" not in build.env
    assert not build.env["CARGO_TARGET_DIR"].startswith(str(crate))


def test_an_unchanged_project_is_not_compiled_again(store: Store, crate: Path) -> None:
    cargo, said = FakeCargo(), list[str]()
    build = compiling(store, crate, cargo, said)
    first = build.build(Request(crate))
    second = build.build(Request(crate, tags=(Reference.parse("again"),)))
    assert (first.cached, second.cached) == (False, True)
    assert first.descriptor == second.descriptor
    assert len(cargo.commands) == 2
    assert store.resolve(Reference.parse("again")) == first.descriptor


@pytest.mark.parametrize(
    "change",
    ["src/main.rs", "src/new.rs", "Cargo.lock", "../common file.txt", ".cargo/config.toml"],
)
def test_any_input_that_changed_means_another_compilation(
    store: Store, crate: Path, change: str
) -> None:
    cargo = FakeCargo()
    compiling(store, crate, cargo, []).build(Request(crate))
    (crate / change).parent.mkdir(exist_ok=True)
    (crate / change).write_text("changed")
    assert not compiling(store, crate, cargo, []).build(Request(crate)).cached
    assert len(cargo.commands) == 4


def test_a_lost_image_a_broken_record_and_no_cache_mean_another_one(
    store: Store, crate: Path
) -> None:
    cargo = FakeCargo()
    build = compiling(store, crate, cargo, [])
    descriptor = build.build(Request(crate)).descriptor
    assert not build.build(Request(crate, fresh=True)).cached
    store.untag(Reference.parse("app"))
    store.gc()
    assert not build.build(Request(crate)).cached
    (record,) = (crate.parent / "cache").glob("build/*/record.json")
    record.write_text("{")
    again = build.build(Request(crate))
    assert not again.cached
    assert again.descriptor == descriptor


def test_a_compiler_error_is_shown_and_fails_the_build(store: Store, crate: Path) -> None:
    said: list[str] = []
    with pytest.raises(BuildFailed) as caught:
        compiling(store, crate, FakeCargo(status=101), said).build(Request(crate))
    assert "error[E0425]: cannot find value `x`" in said
    assert "exit status 101" in caught.value.message
    assert caught.value.exit_code == 8
    assert store.images() == []
    assert not compiling(store, crate, FakeCargo(), said).build(Request(crate)).cached


def test_a_killed_compiler_is_said_to_be(store: Store, crate: Path) -> None:
    with pytest.raises(BuildFailed, match="killed by signal 9"):
        compiling(store, crate, FakeCargo(status=-9), []).build(Request(crate))


def test_the_record_is_readable(store: Store, crate: Path) -> None:
    compiling(store, crate, FakeCargo(), []).build(Request(crate))
    (record,) = (crate.parent / "cache").glob("build/*/record.json")
    found = json.loads(record.read_bytes())
    assert found["toolchain"] == "host"
    assert [Path(path).name for path in found["extra"]] == ["common file.txt"]


def _build(store: Store, crate: Path, pipe: int) -> None:
    class Endless(FakeCargo):
        def __call__(self, command: Command, on_line: Callable[[str], None]) -> int:
            del command, on_line
            os.write(pipe, b"x")
            signal.pause()
            raise AssertionError

    compiling(store, crate, Endless(), []).build(Request(crate))


def test_builds_of_one_program_wait_for_each_other(store: Store, crate: Path) -> None:
    end, start = os.pipe()
    other = FORK.Process(target=_build, args=(Store(store.root), crate, start))
    other.start()
    assert os.read(end, 1) == b"x"

    class Said(list[str]):
        """Kills the other build as soon as this one says that it waits."""

        def append(self, line: str, /) -> None:
            super().append(line)
            if line.startswith("waiting"):
                other.kill()

    said = Said()
    cargo = FakeCargo()
    compiling(store, crate, cargo, said).build(Request(crate))
    assert said[0] == "waiting for another build of the same program"
    assert len(cargo.commands) == 2
    other.join()
    os.close(end)
    os.close(start)
