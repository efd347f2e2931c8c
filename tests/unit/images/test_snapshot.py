from __future__ import annotations

import gzip
import io
import multiprocessing
import shutil
from pathlib import Path

import pytest
import zstandard

from wasmimg_images.compression import layer_content
from wasmimg_images.digest import Digest
from wasmimg_images.document import encode
from wasmimg_images.errors import DigestMismatch, InvalidInput
from wasmimg_images.image import Image, load
from wasmimg_images.layout import Store
from wasmimg_images.snapshot import Snapshots, chain_ids, chains_of
from wasmimg_images.spec import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
)
from wasmimg_testing.archives import Entry, tar

FORK = multiprocessing.get_context("fork")
TYPES = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


def pack(data: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    return zstandard.compress(data) if compression == "zstd" else data


def image(
    store: Store, *layers: bytes, compression: str = "gzip", diff_ids: list[Digest] | None = None
) -> Image:
    found = diff_ids or [Digest.of(layer) for layer in layers]
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in found]},
    }
    blobs = [store.write(pack(layer, compression), TYPES[compression]) for layer in layers]
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "config": store.write(encode(config), OCI_CONFIG).document(),
        "layers": [blob.document() for blob in blobs],
    }
    return load(store, store.write(encode(manifest), OCI_MANIFEST))


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "snapshots")


def test_chain_ids_are_the_specifications() -> None:
    first, second = Digest.of(b"1"), Digest.of(b"2")
    assert chain_ids([first]) == [first]
    assert chain_ids([first, second])[1] == Digest.of(f"{first} {second}".encode())


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_layers_are_unpacked_bottom_first(
    store: Store, snapshots: Snapshots, compression: str
) -> None:
    lower, upper = tar([Entry("a", data=b"1")]), tar([Entry("b", data=b"2")])
    found = snapshots.layers(store, image(store, lower, upper, compression=compression))
    assert [[p.name for p in folder.iterdir()] for folder in found] == [["a"], ["b"]]


def test_images_share_what_they_have_in_common(store: Store, snapshots: Snapshots) -> None:
    lower = tar([Entry("a")])
    first = snapshots.layers(store, image(store, lower))
    second = snapshots.layers(store, image(store, lower, tar([Entry("b")])))
    assert first[0] == second[0]


def test_unpacked_layers_need_no_blobs(store: Store, snapshots: Snapshots) -> None:
    found = image(store, tar([Entry("a")]))
    before = snapshots.layers(store, found)
    shutil.rmtree(store.root)
    assert snapshots.layers(store, found) == before


def test_a_layer_that_is_not_its_diff_id_leaves_nothing(
    store: Store, snapshots: Snapshots, tmp_path: Path
) -> None:
    bad = image(store, tar([Entry("a")]), diff_ids=[Digest.of(b"another")])
    with pytest.raises(DigestMismatch):
        snapshots.layers(store, bad)
    assert [p.name for p in (tmp_path / "snapshots").iterdir()] == ["locks"]


def test_layers_and_diff_ids_must_be_as_many(store: Store, snapshots: Snapshots) -> None:
    bad = image(store, tar([Entry("a")]), diff_ids=[Digest.of(b"1"), Digest.of(b"2")])
    with pytest.raises(InvalidInput, match="1 layers and 2 diff_ids"):
        snapshots.layers(store, bad)


def _unpack(store: Store, snapshots: Snapshots, found: Image) -> None:
    snapshots.layers(Store(store.root), found)


def test_processes_that_want_the_same_layer_unpack_it_once(
    store: Store, snapshots: Snapshots, tmp_path: Path
) -> None:
    found = image(store, tar([Entry(f"f{n}", data=b"x" * 1000) for n in range(200)]))
    workers = [FORK.Process(target=_unpack, args=(store, snapshots, found)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    (folder,) = snapshots.layers(store, found)
    assert len(list(folder.iterdir())) == 200
    assert len(list((tmp_path / "snapshots").iterdir())) == 2


def test_what_a_killed_process_left_is_made_anew(
    store: Store, snapshots: Snapshots, tmp_path: Path
) -> None:
    found = image(store, tar([Entry("a", data=b"whole")]))
    partial = tmp_path / "snapshots" / f"{found.config.diff_ids[0].hex}.partial/fs"
    partial.mkdir(parents=True)
    (partial / "a").write_bytes(b"ha")
    (folder,) = snapshots.layers(store, found)
    assert (folder / "a").read_bytes() == b"whole"
    assert not partial.exists()


def test_pruning_keeps_what_it_is_told_to(store: Store, snapshots: Snapshots) -> None:
    kept = image(store, tar([Entry("kept")]))
    gone = image(store, tar([Entry("gone")]))
    (kept_folder,) = snapshots.layers(store, kept)
    (gone_folder,) = snapshots.layers(store, gone)
    assert snapshots.prune(set(kept.config.diff_ids)) == 1
    assert kept_folder.exists()
    assert not gone_folder.parent.exists()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_broken_compression_is_invalid_input(
    store: Store, snapshots: Snapshots, compression: str
) -> None:
    data = tar([Entry("a", data=bytes(range(256)) * 64)])
    packed = pack(data, compression)
    for broken in (packed[:-20], packed[:60] + b"\xff" * 30 + packed[90:]):
        blob = store.write(broken, TYPES[compression])
        with store.open(blob) as stream, pytest.raises((InvalidInput, DigestMismatch)):
            layer_content(stream, blob.size, Digest.of(data), _drain)


def _drain(tar: object) -> None:
    while tar.read(1 << 16):  # type: ignore[attr-defined]
        pass


def test_a_bomb_is_stopped_early() -> None:
    whole = zstandard.compress(bytes(128 << 20), 3)
    read = 0

    def count(tar: object) -> None:
        nonlocal read
        while data := tar.read(1 << 20):  # type: ignore[attr-defined]
            read += len(data)

    stream = io.BufferedReader(io.BytesIO(whole))  # type: ignore[type-var]
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        layer_content(stream, len(whole), Digest.of(b""), count)
    assert read < 64 << 20


def test_a_blob_that_does_not_exist_is_named(store: Store, snapshots: Snapshots) -> None:
    found = image(store, tar([Entry("a")]))
    layer: Descriptor = found.manifest.layers[0]
    store.path(layer.digest).unlink()
    with pytest.raises(Exception, match=str(layer.digest)):
        snapshots.layers(store, found)


def test_chains_are_those_of_all_platforms(store: Store, snapshots: Snapshots) -> None:
    one, two = tar([Entry("1")]), tar([Entry("2")])
    first, second = image(store, one), image(store, one, two)
    used = chains_of(store, [first.descriptor, second.descriptor])
    assert used == {*chain_ids([Digest.of(one), Digest.of(two)])}
    snapshots.layers(store, second)
    assert snapshots.prune(used) == 0
    assert snapshots.prune(chains_of(store, [first.descriptor])) == 1
