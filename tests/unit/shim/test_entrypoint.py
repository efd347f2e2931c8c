from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wasmimg_images.errors import CannotInvoke, CommandNotFound, InvalidInput
from wasmimg_shim.bundle import Bundle
from wasmimg_shim.entrypoint import Kind, resolve

WASM = b"\0asm\1\0\0\0"
ELF = b"\x7fELF"


class Image:
    """A bundle whose root file system is filled by the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path / "rootfs"
        self.root.mkdir()
        self.mounts: list[object] = []

    def file(self, name: str, content: bytes, mode: int = 0o755) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    def run(
        self, word: str, *, cwd: str = "/", env: tuple[str, ...] = ()
    ) -> tuple[Kind, str, str | None]:
        config = {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"args": [word], "cwd": cwd, "env": list(env)},
            "mounts": self.mounts,
        }
        (self.path / "config.json").write_text(json.dumps(config))
        before = set(os.listdir("/proc/self/fd"))
        try:
            found = resolve(Bundle.load(str(self.path)))
            os.close(found.fd)
        finally:
            assert set(os.listdir("/proc/self/fd")) == before
        return found.kind, found.path, found.function


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_the_magic_number_decides(image: Image) -> None:
    image.file("a", WASM, 0o644)
    image.file("b", ELF)
    image.file("c", b"#!/bin/sh\n")
    assert image.run("/a") == (Kind.WASM, "/a", None)
    assert image.run("/b") == (Kind.LINUX, "/b", None)
    assert image.run("/c") == (Kind.LINUX, "/c", None)


def test_an_export_can_be_named(image: Image) -> None:
    image.file("app.wasm", WASM)
    image.file("odd#name", WASM)
    assert image.run("/app.wasm#handle") == (Kind.WASM, "/app.wasm", "handle")
    assert image.run("/odd#name") == (Kind.WASM, "/odd#name", None)


def test_a_word_with_a_slash_is_taken_from_the_working_directory(image: Image) -> None:
    image.file("srv/app.wasm", WASM)
    assert image.run("./app.wasm", cwd="/srv")[1] == "/srv/./app.wasm"


def test_a_bare_word_is_looked_up_on_the_path(image: Image) -> None:
    image.file("opt/bin/tool", ELF)
    image.file("usr/bin/tool", ELF, 0o644)
    assert image.run("tool", env=("PATH=/usr/bin:/opt/bin",))[1] == "/opt/bin/tool"
    with pytest.raises(CommandNotFound, match=r"executable file not found in \$PATH"):
        image.run("tool", env=("PATH=/sbin",))


def test_a_bare_word_may_be_a_module_in_the_working_directory(image: Image) -> None:
    image.file("app.wasm", WASM)
    image.file("prog", ELF)
    assert image.run("app.wasm")[0] is Kind.WASM
    with pytest.raises(CommandNotFound):
        image.run("prog")


def test_links_stay_in_the_image(image: Image) -> None:
    image.file("real.wasm", WASM)
    (image.root / "link").symlink_to("/real.wasm")
    (image.root / "up").symlink_to("../../../../../../real.wasm")
    (image.root / "host").symlink_to("/proc/self/exe")
    assert image.run("/link")[0] is Kind.WASM
    assert image.run("/up")[0] is Kind.WASM
    with pytest.raises(CommandNotFound):
        image.run("/host")


def test_what_a_bind_mount_covers_is_looked_up_in_its_source(image: Image, tmp_path: Path) -> None:
    image.file("app/old.wasm", WASM)
    source = tmp_path / "volume"
    source.mkdir()
    (source / "new.wasm").write_bytes(WASM)
    image.mounts = [
        {"destination": "/app", "type": "bind", "source": str(source), "options": ["rbind"]},
        {"destination": "/one.wasm", "type": "bind", "source": f"{source}/new.wasm"},
    ]
    assert image.run("/app/new.wasm")[0] is Kind.WASM
    assert image.run("/one.wasm")[0] is Kind.WASM
    with pytest.raises(CommandNotFound):
        image.run("/app/old.wasm")


@pytest.mark.parametrize(
    ("word", "error", "text"),
    [
        ("/gone", CommandNotFound, "no such file or directory"),
        ("/text/below", CommandNotFound, "no such file or directory"),
        ("gone", CommandNotFound, "executable file not found"),
        ("/dir", CannotInvoke, "is a directory"),
        ("/plain", CannotInvoke, "permission denied"),
        ("/fifo", CannotInvoke, "permission denied"),
        ("/loop", CannotInvoke, "too many levels of symbolic links"),
        ("/text", CannotInvoke, "neither a Wasm module nor a Linux program"),
        ("/empty", CannotInvoke, "neither a Wasm module nor a Linux program"),
        ("", InvalidInput, "no command"),
    ],
)
def test_what_cannot_run_is_told_in_dockers_words(
    image: Image, word: str, error: type[Exception], text: str
) -> None:
    image.file("dir/file", b"")
    image.file("plain", ELF, 0o644)
    image.file("text", b"hello")
    image.file("empty", b"")
    (image.root / "loop").symlink_to("loop")
    os.mkfifo(image.root / "fifo")
    with pytest.raises(error, match=text):
        image.run(word)


@pytest.mark.parametrize(("content", "before"), [(WASM, 2), (ELF, 0)])
def test_dockers_init_is_dropped_before_a_module_only(
    image: Image, content: bytes, before: int
) -> None:
    image.file("sbin/docker-init", ELF)
    image.file("app", content)
    words = ["/sbin/docker-init", "--", "/app", "x"]
    config = {"ociVersion": "1", "root": {"path": "rootfs"}, "process": {"args": words}}
    (image.path / "config.json").write_text(json.dumps(config))
    found = resolve(Bundle.load(str(image.path)))
    os.close(found.fd)
    assert (found.before, found.path) == (before, "/app" if before else "/sbin/docker-init")
