"""The image commands as a user types them, and other tools reading what they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import wasmtime

HELLO = bytes(wasmtime.wat2wasm('(module (memory 1) (func (export "_start")))'))


class Wasmimg:
    """The command with folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "data/store"
        self._environ = {
            **os.environ,
            "WASMIMG_HOME": str(folder / "data"),
            "WASMIMG_RUN": str(folder / "run"),
            "WASMIMG_CACHE": str(folder / "cache"),
        }

    def run(
        self, *words: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "wasmimg", *map(str, words)],
            input=stdin,
            capture_output=True,
            env={**self._environ, **(env or {})},
            timeout=60,
            check=False,
        )

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def fails(self, code: int, *words: str | Path) -> str:
        done = self.run(*words)
        lines = done.stderr.decode().splitlines()
        assert done.returncode == code, done
        assert lines[0].startswith("wasmimg: ")
        assert len(lines) <= 2
        return lines[0]


@pytest.fixture
def wasmimg(tmp_path: Path) -> Wasmimg:
    return Wasmimg(tmp_path)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wasm"
    path.write_bytes(HELLO)
    return path


def skopeo(*words: str) -> dict[str, object]:
    done = subprocess.run(
        ["skopeo", "--override-os", "wasi", "--override-arch", "wasm", *words],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    if words[0] != "inspect":
        return {}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_an_image_from_build_to_removal(wasmimg: Wasmimg, module: Path) -> None:
    reference = wasmimg("build", module, "-t", "demo", "-t", "r.io/demo:1").strip()
    digest = reference.removeprefix("demo@")
    listed = [line.split() for line in wasmimg("images").splitlines()]
    assert listed[0][:3] == ["REPOSITORY", "TAG", "IMAGE"]
    assert [line[:2] for line in listed[1:]] == [["demo", "latest"], ["r.io/demo", "1"]]
    assert [line[3] for line in listed[1:]] == ["-", "-"]  # 1970, as reproducible builds are
    assert wasmimg("images", "-q") == f"{digest[7:19]}\n"
    wasmimg("tag", digest[7:15], "other:2")
    (shown,) = json.loads(wasmimg("inspect", "other:2", "--check"))
    assert shown["digest"] == digest
    assert shown["names"] == ["demo:latest", "other:2", "r.io/demo:1"]
    assert shown["problems"] == []
    assert wasmimg("rmi", "demo").startswith("Untagged: demo:latest\nDeleted: 0 blobs")
    assert "several names" in wasmimg.fails(3, "rmi", digest[7:19])
    wasmimg("rmi", "-f", digest[7:19])
    assert wasmimg("images", "--json") == "[]\n"
    assert list((wasmimg.store / "blobs/sha256").iterdir()) == []


def test_only_the_digest_reference_is_on_standard_output(wasmimg: Wasmimg, module: Path) -> None:
    done = wasmimg.run("build", module)
    assert done.stdout.startswith(b"hello@sha256:")
    assert done.stdout.count(b"\n") == 1
    quiet = wasmimg.run("build", module, "-q")
    assert (quiet.stdout, quiet.stderr) == (done.stdout, b"")
    found = json.loads(wasmimg("build", module, "--json"))
    assert found["reference"] == done.stdout.decode().strip()
    assert found["moduleSize"] == len(HELLO)


def test_a_dry_run_says_what_it_would_do_and_does_not(
    wasmimg: Wasmimg, module: Path, tmp_path: Path
) -> None:
    output = f"oci-archive:{tmp_path}/x.tar"
    said = wasmimg("build", module, "--dry-run", "--push", "--output", output)
    assert "push hello:latest" in said
    assert output in said
    assert not wasmimg.store.exists()
    assert not (tmp_path / "x.tar").exists()


def test_skopeo_reads_every_kind_of_output(wasmimg: Wasmimg, module: Path, tmp_path: Path) -> None:
    kinds = {
        "oci": tmp_path / "layout",
        "oci-archive": tmp_path / "oci.tar",
        "docker-archive": tmp_path / "docker.tar",
    }
    outputs = [f"--output={kind}:{path}" for kind, path in kinds.items()]
    digest = wasmimg("build", module, *outputs, "-t", "r.io/demo:1").strip().partition("@")[2]
    for kind, path in kinds.items():
        found = skopeo("inspect", f"{kind}:{path}")
        assert (found["Os"], found["Architecture"]) == ("wasi", "wasm")
    assert skopeo("inspect", f"oci:{kinds['oci']}:1")["Digest"] == digest
    skopeo("copy", "--all", f"oci:{kinds['oci']}:1", f"oci:{tmp_path}/copy:again")
    assert skopeo("inspect", f"oci:{tmp_path}/copy:again")["Digest"] == digest
    # The store itself is a layout too.
    store = f"oci:{wasmimg.store}:r.io/demo:1"
    assert skopeo("inspect", store)["Digest"] == digest


def test_umoci_unpacks_a_single_manifest(wasmimg: Wasmimg, module: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    wasmimg("build", module, "--shape", "single", "--output", f"oci:{layout}", "-t", "demo:1")
    subprocess.run(
        ["umoci", "raw", "unpack", "--rootless", "--image", f"{layout}:1", tmp_path / "root"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert (tmp_path / "root/hello.wasm").read_bytes() == HELLO


def test_a_build_is_pushed_under_every_tag(wasmimg: Wasmimg, module: Path, tmp_path: Path) -> None:
    words = ["registry-serve", str(tmp_path / "registry"), "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "wasmimg", *words], stderr=subprocess.PIPE, text=True
    ) as registry:
        try:
            assert registry.stderr is not None
            host = registry.stderr.readline().strip().rpartition("http://")[2]
            names = [f"{host}/demo:1", f"{host}/other:2"]
            tags = [word for name in names for word in ("-t", name)]
            built = wasmimg("build", module, *tags, "--push").strip()
            other = Wasmimg(tmp_path / "other")
            for name in names:
                assert other("pull", name).strip().endswith(built.partition("@")[2])
                (shown,) = json.loads(other("inspect", name, "--check"))
                assert shown["problems"] == []
        finally:
            registry.terminate()


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_saved_images_load_elsewhere(
    wasmimg: Wasmimg, module: Path, tmp_path: Path, kind: str
) -> None:
    wasmimg("build", module, "-t", "demo:1")
    wasmimg("save", "demo:1", "-o", tmp_path / "saved.tar", "--format", kind)
    other = Wasmimg(tmp_path / "other")
    assert other("load", "-i", tmp_path / "saved.tar") == "Loaded image: demo:1\n"
    assert other("load", stdin=(tmp_path / "saved.tar").read_bytes()).endswith("demo:1\n")
    (shown,) = json.loads(other("inspect", "demo:1", "--check"))
    assert shown["problems"] == []


def test_a_name_that_an_archive_moves_is_told(
    wasmimg: Wasmimg, module: Path, tmp_path: Path
) -> None:
    digest = wasmimg("build", module, "-t", "demo:1").strip().partition("@")[2]
    wasmimg("save", "demo:1", "-o", tmp_path / "saved.tar", "--format", "docker")
    done = wasmimg.run("load", "-i", tmp_path / "saved.tar")
    assert done.stdout == b"Loaded image: demo:1\n"
    told = f"wasmimg: demo:1 is another image now; it was {digest[7:19]}\n"
    assert done.stderr.decode() == told
    assert wasmimg.run("load", "-i", tmp_path / "saved.tar").stderr == b""


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "oci"])
def test_what_skopeo_writes_is_loaded(
    wasmimg: Wasmimg, module: Path, tmp_path: Path, kind: str
) -> None:
    wasmimg("build", module, "--output", f"oci:{tmp_path}/layout", "-t", "r.io/demo:1")
    skopeo("copy", f"oci:{tmp_path}/layout:1", f"{kind}:{tmp_path}/theirs:r.io/theirs:2")
    other = Wasmimg(tmp_path / "other")
    assert other("load", "-i", tmp_path / "theirs") == "Loaded image: r.io/theirs:2\n"
    (shown,) = json.loads(other("inspect", "r.io/theirs:2", "--check"))
    assert shown["problems"] == []
    assert shown["config"]["config"]["Entrypoint"] == ["/hello.wasm"]


def test_mistakes_are_one_line_with_their_code(
    wasmimg: Wasmimg, module: Path, tmp_path: Path
) -> None:
    wasmimg("build", module)
    assert "no image nope:latest" in wasmimg.fails(4, "inspect", "nope")
    assert "no image nope:latest" in wasmimg.fails(4, "save", "nope", "-o", tmp_path / "x")
    assert "not a tag" in wasmimg.fails(3, "tag", "hello", "a:b:c:")
    assert "lower" not in wasmimg.fails(3, "tag", "hello", "UPPER/x y")
    assert "not a platform" in wasmimg.fails(3, "inspect", "hello", "--platform", "wasm")
    assert "linux/s390x" in wasmimg.fails(4, "inspect", "hello", "--platform", "linux/s390x")
    assert "is not understood" in wasmimg.fails(3, "build", module, "--output", "zip:x")
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    assert "broken tar" in wasmimg.fails(3, "load", "-i", tmp_path / "bad.tar")
    assert not (tmp_path / "x").exists()


def test_a_rotten_store_is_noticed(wasmimg: Wasmimg, module: Path) -> None:
    wasmimg("build", module)
    for blob in (wasmimg.store / "blobs/sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    done = wasmimg.run("inspect", "hello", "--check")
    assert done.returncode == 6
    assert json.loads(done.stdout)[0]["problems"]


@pytest.mark.root
def test_a_root_filesystem_becomes_an_image(wasmimg: Wasmimg, tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/hosts").write_bytes(b"x")
    wasmimg("import", tmp_path / "root", "-t", "base:1")
    wasmimg("save", "base:1", "--format", "docker", "-o", tmp_path / "base.tar")
    with tarfile.open(tmp_path / "base.tar") as archive:
        layer = next(name for name in archive.getnames() if name.endswith("layer.tar"))
        content = archive.extractfile(layer)
        assert content is not None
        with tarfile.open(fileobj=content) as inner:
            assert "etc/hosts" in inner.getnames()
