"""skopeo, an independent client, drives our server and reads what our client wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_images.archive import oci
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.registry.client import Client
from wasmimg_testing import registries
from wasmimg_testing.registries import PASSWORD, USER, Registry
from wasmimg_testing.samples import add_index, add_manifest, content

pytestmark = pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")


def skopeo(*arguments: str) -> str:
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy(source: str, target: str, *options: str) -> None:
    skopeo(
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--preserve-digests",  # or it compresses what it copies
        *options,
        source,
        target,
    )


@pytest.fixture
def quiet_client() -> Iterator[Client]:
    with Client.from_environ({}) as client:
        yield client


def digests(folder: Path) -> set[str]:
    return {path.name for path in (folder / "blobs/sha256").iterdir()}


def test_what_skopeo_pushes_we_pull_and_the_reverse(
    registry: Registry, quiet_client: Client, store: Store, tmp_path: Path
) -> None:
    root = add_index(store, 300_000)
    ours, theirs = f"{registry.host}/ours:1", f"{registry.host}/theirs/app:1"
    quiet_client.push(store, Reference.parse(ours), root)
    copy(f"docker://{ours}", f"docker://{theirs}", "--all")
    other = Store(tmp_path / "other")
    assert quiet_client.pull(other, Reference.parse(theirs), everything=True) == root
    assert digests(other.root) == digests(store.root)


def test_skopeo_reads_our_image_into_a_layout_and_pushes_it_back(
    registry: Registry, quiet_client: Client, store: Store, tmp_path: Path
) -> None:
    root = add_manifest(store, [content(2_000_000), content(10, 1)])
    ours, back = f"{registry.host}/ours:1", f"{registry.host}/back:1"
    quiet_client.push(store, Reference.parse(ours), root)
    layout = tmp_path / "layout"
    copy(f"docker://{ours}", f"oci:{layout}:x")
    copy(f"oci:{layout}:x", f"docker://{back}")
    other = Store(tmp_path / "other")
    assert quiet_client.pull(other, Reference.parse(back)) == root
    found = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{back}"))
    assert (found["Os"], found["Architecture"]) == ("wasi", "wasm")
    assert found["RepoTags"] == ["1"]


def test_skopeo_logs_in_lists_and_deletes(tmp_path: Path) -> None:
    with registries.ours_with_users(tmp_path / "r") as registry:
        store = Store(tmp_path / "store")
        folder = registry.credentials_file(tmp_path / "docker")
        reference = f"{registry.host}/a:1"
        with Client.from_environ({"DOCKER_CONFIG": str(folder)}) as client:
            client.push(store, Reference.parse(reference), add_manifest(store, [b"x"]))
        who = ("--creds", f"{USER}:{PASSWORD}", "--tls-verify=false")
        listed = json.loads(skopeo("list-tags", *who, f"docker://{registry.host}/a"))
        assert listed["Tags"] == ["1"]
        refused = subprocess.run(
            ["skopeo", "list-tags", "--tls-verify=false", f"docker://{registry.host}/a"],
            capture_output=True,
            check=False,
        )
        assert refused.returncode
        assert b"unauthorized" in refused.stderr


def test_our_client_and_skopeo_agree_through_debian_s_registry(tmp_path: Path) -> None:
    if registries.DOCKER_REGISTRY is None:
        pytest.skip("needs docker-registry")
    store = Store(tmp_path / "store")
    root = add_index(store)
    with registries.debian(tmp_path / "r") as registry, Client.from_environ({}) as client:
        reference = f"{registry.host}/a:1"
        client.push(store, Reference.parse(reference), root)
        raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
        assert raw.encode() == store.read(root)
        copy(f"docker://{reference}", f"docker://{registry.host}/b:1", "--all")
        other = Store(tmp_path / "other")
        assert client.pull(other, Reference.parse(f"{registry.host}/b:1")) == root


def test_each_image_of_an_archive_can_be_addressed(store: Store, tmp_path: Path) -> None:
    named = []
    for text, seed in (("a", 1), ("b", 2), ("c:1", 3)):
        root = add_manifest(store, [content(10, seed)])
        named.append((root, (Reference.parse(text),)))
    with (tmp_path / "images.tar").open("wb") as sink:
        oci.write_archive(store, named, sink)
    names = ("docker.io/library/a:latest", "docker.io/library/b:latest", "1")
    for name, (root, _) in zip(names, named, strict=True):
        layout = tmp_path / f"layout-{root.digest.short}"
        copy(f"oci-archive:{tmp_path}/images.tar:{name}", f"oci:{layout}:x")
        assert root.digest.hex in digests(layout)
