from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from wasmimg_images.archive import docker, oci
from wasmimg_images.archive.load import load
from wasmimg_images.archive.tarball import TarWriter
from wasmimg_images.errors import DigestMismatch, InvalidInput
from wasmimg_images.image import select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import OCI_INDEX, Descriptor
from wasmimg_images.validate import validate
from wasmimg_testing.archives import Entry, symlink, tar
from wasmimg_testing.indexes import add_index, add_usual_index

NAMES = [Reference.parse("r.io/demo:1"), Reference.parse("demo")]


def stream(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))  # type: ignore[type-var]


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


def oci_archive(store: Store, image: Descriptor) -> bytes:
    sink = io.BytesIO()
    oci.write_archive(store, [(image, NAMES)], sink)
    return sink.getvalue()


def docker_archive(store: Store, image: Descriptor) -> bytes:
    sink = io.BytesIO()
    docker.write(store, [(select(store, image), NAMES)], sink)
    return sink.getvalue()


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_an_oci_archive_round_trips(store: Store, other: Store, compress: bool) -> None:
    image = add_usual_index(store)
    archive = oci_archive(store, image)
    found = load(stream(gzip.compress(archive) if compress else archive), other)
    assert found == [(image, name) for name in NAMES]
    assert {name: d.digest for name, d in other.images()} == dict.fromkeys(NAMES, image.digest)
    assert validate(other, image) == []


def test_dockers_archive_round_trips_one_platform(store: Store, other: Store) -> None:
    image = add_usual_index(store)
    (descriptor, name), *_ = load(stream(docker_archive(store, image)), other)
    assert name == NAMES[0]
    before, after = select(store, image), select(other, descriptor)
    assert after.config == before.config
    assert validate(other, descriptor) == []


def test_archives_are_the_same_bytes_every_time(store: Store) -> None:
    image = add_usual_index(store)
    assert oci_archive(store, image) == oci_archive(store, image)
    assert docker_archive(store, image) == docker_archive(store, image)


def test_an_oci_folder_round_trips(store: Store, other: Store, tmp_path: Path) -> None:
    image = add_usual_index(store)
    folder = tmp_path / "layout"
    oci.write_folder(store, [(image, NAMES)], folder)
    assert oci.load_folder(folder, other) == [(image, name) for name in NAMES]
    assert validate(other, other.resolve(NAMES[0])) == []


def test_a_folder_that_is_not_empty_is_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    with pytest.raises(InvalidInput):
        oci.write_folder(store, [(add_usual_index(store), NAMES)], tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine"]


def test_a_bare_tag_names_nothing() -> None:
    index = {
        "manifests": [
            {
                "mediaType": OCI_INDEX,
                "digest": "sha256:" + "a" * 64,
                "size": 1,
                "annotations": {"org.opencontainers.image.ref.name": "latest"},
            },
        ],
    }
    ((_, name),) = oci.named_entries(json.dumps(index).encode(), "index.json")
    assert name is None


def rewrite(archive: bytes, **changes: bytes) -> bytes:
    """Replace the files whose names end as the keys say."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, TarWriter(out) as new:
        for entry in old:
            content = old.extractfile(entry)
            if content is None:
                continue
            data = content.read()
            for suffix, changed in changes.items():
                if entry.name.endswith(suffix.replace("_", ".")):
                    data = changed
            new.file(entry.name, io.BytesIO(data), len(data))
    return out.getvalue()


def test_a_blob_that_is_not_its_name_is_refused(store: Store, other: Store) -> None:
    archive = oci_archive(store, add_usual_index(store))
    with tarfile.open(fileobj=io.BytesIO(archive)) as old:
        name = next(e.name for e in old if e.name.startswith("blobs/sha256/"))
    with pytest.raises(DigestMismatch, match=name):
        load(stream(rewrite(archive, **{name: b"changed"})), other)
    assert other.images() == []


def test_an_archive_without_a_blob_that_it_needs_is_refused(store: Store, other: Store) -> None:
    image = add_usual_index(store)
    archive = oci_archive(store, image)
    layer = select(store, image).manifest.layers[0].digest
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, TarWriter(out) as new:
        for entry in old:
            content = old.extractfile(entry)
            if content is not None and not entry.name.endswith(layer.hex):
                new.file(entry.name, content, entry.size)
    with pytest.raises(InvalidInput, match=str(layer)):
        load(stream(out.getvalue()), other)
    assert other.images() == []


def test_a_docker_layer_that_is_not_the_configs_is_refused(store: Store, other: Store) -> None:
    archive = docker_archive(store, add_usual_index(store))
    with pytest.raises(DigestMismatch):
        load(stream(rewrite(archive, layer_tar=tar([Entry("evil")]))), other)
    assert other.images() == []


def test_linked_layers_of_old_docker_versions_are_followed(store: Store, other: Store) -> None:
    archive = docker_archive(store, add_usual_index(store))
    with tarfile.open(fileobj=io.BytesIO(archive)) as old:
        layer = next(e for e in old if e.name.endswith("layer.tar"))
        files = {e.name: old.extractfile(e).read() for e in old if e.isreg()}  # type: ignore[union-attr]
    manifest = json.loads(files["manifest.json"])
    manifest[0]["Layers"] = ["copy/layer.tar"]
    files["manifest.json"] = json.dumps(manifest).encode()
    content = [Entry(name, data=data) for name, data in files.items()]
    (_, name), *_ = load(
        stream(tar([*content, symlink("copy/layer.tar", f"../{layer.name}")])), other
    )
    assert name == NAMES[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no images"),
        (b"not a tar at all" * 100, "broken tar"),
        (tar([Entry("readme", data=b"x")]), "no images"),
        (tar([Entry("index.json", data=b"[]")]), "index.json"),
        (tar([Entry("manifest.json", data=b'[{"Config":"c","Layers":[]}]')]), "not in the archive"),
        (gzip.compress(tar([Entry("index.json")]))[:-9], "broken gzip"),
    ],
    ids=["empty", "no tar", "stranger", "list", "config missing", "cut short"],
)
def test_what_is_no_archive_is_refused(other: Store, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(stream(content), other)
    assert other.images() == []


def test_an_index_in_part_is_saved_in_part(store: Store, other: Store) -> None:
    whole = add_usual_index(store)
    image = select(store, whole)
    linux = next(d for d in _manifests(store, whole) if d.digest != image.descriptor.digest)
    store.path(linux.digest).unlink()
    load(stream(oci_archive(store, whole)), other)
    assert select(other, whole).config == image.config


def _manifests(store: Store, index: Descriptor) -> list[Descriptor]:
    from wasmimg_images.spec import Index

    return list(Index.parse(store.read(index)).manifests)


def test_two_images_share_their_blobs_in_an_archive(store: Store) -> None:
    first = add_usual_index(store)
    second = add_index(
        store, [(select(store, first).descriptor, select(store, first).config.platform)]
    )
    sink = io.BytesIO()
    oci.write_archive(store, [(first, NAMES[:1]), (second, NAMES[1:])], sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_needs_a_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(InvalidInput, match="no name for one"):
        oci.write_folder(store, [], Path(name))
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]
