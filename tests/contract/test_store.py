"""What every place that holds blobs and names owes to its users, for one process and for many."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wasmimg_images.digest import Digest
from wasmimg_images.errors import DigestMismatch, HostError, InvalidInput, NotFound
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor

DEMO = Reference.parse("demo")
FORK = multiprocessing.get_context("fork")


def image(store: Store, layer: bytes) -> Descriptor:
    """Write a small image, not named yet."""
    config = store.write(b"{}", OCI_CONFIG)
    document = {
        "schemaVersion": 2,
        "config": config.document(),
        "layers": [store.write(layer, OCI_LAYER).document()],
    }
    return store.write(json.dumps(document).encode(), OCI_MANIFEST)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_fresh_store_is_empty_and_makes_no_folder(store: Store) -> None:
    assert store.images() == []
    assert not store.has(Digest.of(b""))
    with pytest.raises(NotFound):
        store.resolve(DEMO)
    assert store.gc().blobs == 0
    assert not store.root.exists()


def test_what_is_written_is_read(store: Store) -> None:
    descriptor = store.write(b"content", OCI_LAYER)
    assert descriptor == Descriptor(OCI_LAYER, Digest.of(b"content"), 7)
    assert store.has(descriptor.digest)
    assert store.read(descriptor) == b"content"


def test_it_is_an_oci_layout(store: Store) -> None:
    store.tag(DEMO, image(store, b"x"))
    assert json.loads((store.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((store.root / "index.json").read_bytes())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": str(DEMO)}


def test_names_are_taken_over_listed_and_forgotten(store: Store) -> None:
    first, second = image(store, b"1"), image(store, b"2")
    store.tag(DEMO, first)
    store.tag(DEMO, second)
    assert store.images()[0][1].digest == second.digest
    assert store.resolve(DEMO) == second
    assert store.resolve(DEMO.with_digest(second.digest)) == second
    with pytest.raises(NotFound):
        store.resolve(DEMO.with_digest(first.digest))
    assert store.untag(DEMO) == second
    with pytest.raises(NotFound):
        store.untag(DEMO)


def test_what_other_tools_added_does_no_harm(store: Store) -> None:
    store.tag(DEMO, image(store, b"1"))
    index = store.root / "index.json"
    document = json.loads(index.read_bytes())
    (entry,) = document["manifests"]
    for name in ("NOT a name", None):
        notes = {"org.opencontainers.image.ref.name": name} if name else {}
        document["manifests"].append({**entry, "annotations": notes})
    index.write_text(json.dumps(document))
    assert [name for name, _ in store.images()] == [DEMO]
    store.untag(DEMO)
    assert store.gc().blobs == 0  # the others' entries still lead to them
    assert len(json.loads(index.read_bytes())["manifests"]) == 2


def test_a_name_needs_its_image(store: Store) -> None:
    with pytest.raises(NotFound):
        store.tag(DEMO, Descriptor(OCI_MANIFEST, Digest.of(b"?"), 1))
    with pytest.raises(DigestMismatch):
        store.tag(DEMO.with_digest(Digest.of(b"other")), image(store, b"1"))


@pytest.mark.parametrize("content", [b"other!!", b"short", b"longer than that"])
def test_content_that_is_not_its_digests_never_appears(store: Store, content: bytes) -> None:
    expected = Descriptor(OCI_LAYER, Digest.of(b"content"), 7)
    with pytest.raises(DigestMismatch):
        store.ingest(io.BytesIO(content), expected, OCI_LAYER)
    assert not store.has(expected.digest)
    assert list((store.root / "ingest").iterdir()) == []


def test_a_rotten_blob_is_noticed_when_it_is_read(store: Store) -> None:
    descriptor = store.write(b"content", OCI_LAYER)
    store.path(descriptor.digest).write_bytes(b"c0ntent")
    with pytest.raises(DigestMismatch):
        store.read(descriptor)


def test_a_missing_blob_is_named(store: Store) -> None:
    with pytest.raises(NotFound, match=str(Digest.of(b"?"))):
        store.read(Descriptor(OCI_LAYER, Digest.of(b"?"), 1))


def test_sizes_that_are_no_documents_are_not_read_into_memory(store: Store) -> None:
    with pytest.raises(InvalidInput):
        store.read(Descriptor(OCI_MANIFEST, Digest.of(b""), 1 << 40))


def test_progress_is_told_as_it_goes(store: Store) -> None:
    seen: list[int] = []
    store.ingest(io.BytesIO(bytes(1 << 20)), None, OCI_LAYER, progress=seen.append)
    assert seen[-1] == 1 << 20
    assert seen == sorted(seen)


def test_a_failing_source_leaves_nothing(store: Store) -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError(size)

    with pytest.raises(ConnectionResetError):
        store.ingest(Broken(), None, OCI_LAYER)
    assert list((store.root / "ingest").iterdir()) == []


def _write_beyond_the_limit(root: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    store = Store(root)
    try:
        store.write(bytes(1 << 20), OCI_LAYER)
    except HostError as error:
        os._exit(error.exit_code if "\n" not in error.message else 1)
    os._exit(0)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(store: Store) -> None:
    worker = FORK.Process(target=_write_beyond_the_limit, args=(store.root,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == HostError.exit_code
    assert list((store.root / "ingest").iterdir()) == []
    assert list((store.root / "blobs/sha256").iterdir()) == []


def test_collecting_frees_what_no_name_leads_to(store: Store) -> None:
    kept, gone = image(store, b"kept"), image(store, b"gone")
    store.tag(DEMO, kept)
    store.tag(Reference.parse("other"), gone)
    store.untag(Reference.parse("other"))
    collected = store.gc()
    assert collected.blobs == 2  # the config is shared
    assert store.read(kept)
    assert not store.has(gone.digest)


def test_one_who_writes_is_waited_for(store: Store) -> None:
    writer = Store(store.root)
    descriptor = image(writer, b"new")
    assert store.gc().deferred
    writer.tag(DEMO, descriptor)
    assert store.gc() == (0, 0, False)
    assert store.read(store.resolve(DEMO))


def test_one_who_gives_up_keeps_nothing(store: Store) -> None:
    writer = Store(store.root)
    orphan = writer.write(b"orphan", OCI_LAYER)
    assert store.gc().deferred
    writer.close()
    assert store.gc().blobs == 1
    assert not store.path(orphan.digest).exists()


def test_images_in_use_are_kept_without_a_name(store: Store) -> None:
    used = image(store, b"used")
    store.tag(DEMO, used)
    store.untag(DEMO)
    assert store.gc([used]).blobs == 0
    assert store.gc().blobs == 3


def test_a_lease_keeps_blobs_over_several_tags(store: Store) -> None:
    with store.lease():
        second = image(store, b"2")
        store.tag(DEMO, image(store, b"1"))
        assert Store(store.root).gc().deferred
        store.tag(Reference.parse("second"), second)
    assert not Store(store.root).gc().deferred


def _write_and_tag(root: Path, number: int) -> None:
    store = Store(root)
    for turn in range(10):
        descriptor = image(store, f"{number} {turn}".encode())
        store.tag(Reference.parse(f"image-{number}"), descriptor)
        store.gc()


def test_many_processes_write_tag_and_collect_at_once(store: Store) -> None:
    workers = [FORK.Process(target=_write_and_tag, args=(store.root, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    images = store.images()
    assert [name.repository for name, _ in images] == [f"library/image-{n}" for n in range(4)]
    store.gc()
    blobs = list((store.root / "blobs/sha256").iterdir())
    assert len(blobs) == 4 * 2 + 1
    assert all(Digest.of(blob.read_bytes()).hex == blob.name for blob in blobs)


def _write_until_killed(root: Path, ready: int) -> None:
    store = Store(root)
    with store.writer() as blob:
        blob.write(bytes(1 << 20))
        os.write(ready, b"x")
        signal.pause()


def test_a_killed_writer_leaves_nothing_that_matters(store: Store) -> None:
    store.tag(DEMO, image(store, b"1"))
    end, start = os.pipe()
    os.set_inheritable(start, True)
    worker = FORK.Process(target=_write_until_killed, args=(store.root, start))
    worker.start()
    assert os.read(end, 1) == b"x"
    worker.kill()
    worker.join()
    os.close(end)
    os.close(start)
    assert not store.gc().deferred
    assert list((store.root / "ingest").iterdir()) == []
    assert store.read(store.resolve(DEMO))


class Names(RuleBasedStateMachine):
    """Tagging, untagging and collecting in any order keeps exactly what the names need."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        self._store = Store(Path(self._folder.name) / "store")
        self._model: dict[str, bytes] = {}

    def teardown(self) -> None:
        self._store.close()
        self._folder.cleanup()

    @rule(name=st.sampled_from("abc"), layer=st.sampled_from([b"1", b"2", b"3"]))
    def tag(self, name: str, layer: bytes) -> None:
        self._store.tag(Reference.parse(name), image(self._store, layer))
        self._model[name] = layer

    @rule(name=st.sampled_from("abc"))
    def untag(self, name: str) -> None:
        if name in self._model:
            self._store.untag(Reference.parse(name))
            del self._model[name]
        else:
            with pytest.raises(NotFound):
                self._store.untag(Reference.parse(name))

    @rule()
    def collect(self) -> None:
        self._store.gc()
        layers = set(self._model.values())
        blobs = {p.name for p in self._store.root.glob("blobs/sha256/*")}
        assert {Digest.of(layer).hex for layer in layers} <= blobs
        assert len(blobs) == (2 * len(layers) + 1 if layers else 0)

    @invariant()
    def names_are_those_given(self) -> None:
        found = {name.familiar_name for name, _ in self._store.images()}
        assert found == set(self._model)


TestNames = Names.TestCase
TestNames.settings = settings(max_examples=20, stateful_step_count=12)
