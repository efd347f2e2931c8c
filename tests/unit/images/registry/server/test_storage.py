from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from wasmimg_images.digest import Digest
from wasmimg_images.errors import DigestMismatch, NotFound
from wasmimg_images.registry.server.storage import UPLOAD_LIFE, Storage

DATA = b"some bytes" * 1000
DIGEST = Digest.of(DATA)


class BreaksOff:
    """Gives some bytes, then fails as a lost connection does."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        data = self.stream.read(min(size, 700))
        if not data:
            raise ConnectionResetError
        return data


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path)
    storage.prepare()
    return storage


def stored(storage: Storage, repository: str = "a") -> Digest:
    upload = storage.begin(repository)
    upload.append(io.BytesIO(DATA))
    storage.finish(upload, DIGEST)
    return DIGEST


def test_an_upload_becomes_a_blob(storage: Storage) -> None:
    stored(storage)
    with storage.open_blob("a", DIGEST) as blob:
        assert blob.read() == DATA
    assert not storage.has_blob("b", DIGEST)
    assert list((storage.root / "uploads").iterdir()) == []


def test_what_came_before_a_break_stays_and_counts(storage: Storage) -> None:
    upload = storage.begin("a")
    with pytest.raises(ConnectionResetError):
        upload.append(BreaksOff(DATA[:3500]))
    assert upload.size == 3500
    upload.append(io.BytesIO(DATA[3500:]))
    storage.finish(upload, DIGEST)


def test_an_upload_outlives_the_process(storage: Storage) -> None:
    upload = storage.begin("a/b")
    upload.append(io.BytesIO(DATA[:5000]))
    later = Storage(storage.root)
    later.prepare()
    resumed = later.upload("a/b", upload.id)
    assert resumed.size == 5000
    resumed.append(io.BytesIO(DATA[5000:]))
    later.finish(resumed, DIGEST)
    assert later.has_blob("a/b", DIGEST)


def test_what_nobody_came_back_for_is_forgotten(storage: Storage) -> None:
    old, new = storage.begin("a"), storage.begin("a")
    long_ago = time.time() - UPLOAD_LIFE - 1
    os.utime(old.data, (long_ago, long_ago))
    (storage.root / "partial/left").write_bytes(b"half")
    later = Storage(storage.root)
    later.prepare()
    assert later.upload("a", new.id).size == 0
    with pytest.raises(NotFound):
        later.upload("a", old.id)
    assert list((storage.root / "partial").iterdir()) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_content_must_be_what_it_is_called(storage: Storage, algorithm: str) -> None:
    upload = storage.begin("a")
    upload.append(io.BytesIO(DATA))
    right = upload.digest(algorithm)
    with pytest.raises(DigestMismatch):
        storage.finish(upload, Digest(algorithm, right.hex[::-1]))
    storage.finish(upload, right)
    with storage.open_blob("a", right) as blob:
        assert blob.read() == DATA


def test_tags_and_manifests(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.tags("a")
    storage.put_manifest("a", DIGEST, "application/x", DATA, None)
    assert storage.manifest("a", DIGEST) == ("application/x", DATA)
    assert storage.tags("a") == []
    storage.tag("a", "v1", DIGEST)
    assert (storage.tags("a"), storage.tagged("a", "v1")) == (["v1"], DIGEST)
    storage.delete_manifest("a", DIGEST, None)
    assert storage.tags("a") == []
    with pytest.raises(NotFound):
        storage.manifest("a", DIGEST)
    assert storage.repositories() == ["a"]


def test_referrers_are_known_before_their_subject(storage: Storage) -> None:
    subject = Digest.of(b"not here yet")
    storage.put_manifest("a", DIGEST, "application/x", DATA, subject)
    assert storage.referrers("a", subject) == [DIGEST]
    assert storage.referrers("b", subject) == []
    storage.delete_manifest("a", DIGEST, subject)
    assert storage.referrers("a", subject) == []
