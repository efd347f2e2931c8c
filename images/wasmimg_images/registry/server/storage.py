"""The registry's directory: content once for all repositories, and who has what.

    blobs/ALGORITHM/HEX            content of blobs and manifests
    repositories/NAME/_blobs/…     an empty file a blob that the repository has
    repositories/NAME/_manifests/… the media type of a manifest that it has
    repositories/NAME/_tags/TAG    a digest
    repositories/NAME/_referrers/SUBJECT/… an empty file a manifest with that subject
    uploads/ID/{data,repository}   what came of a blob so far

Names of repositories have no component that begins with `_`. Files appear by rename, so a kill leaves none
half-written; content is synced before it gets its name. Nothing here knows HTTP.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from typing import TYPE_CHECKING, BinaryIO, Final

from wasmimg_images.digest import CHUNK, Digest, hasher
from wasmimg_images.errors import DigestMismatch, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wasmimg_images.digest import Hasher, Readable

#: Uploads that nothing was added to for so long are forgotten at the next start, seconds.
UPLOAD_LIFE: Final = 7 * 24 * 3600


class Upload:
    """One blob coming in. Its lock is held by whoever adds to it; others are told to wait."""

    def __init__(self, folder: Path, repository: str) -> None:
        self.id = folder.name
        self.repository = repository
        self.lock = threading.Lock()
        self.data = folder / "data"
        self._hasher: Hasher | None = None
        self._hashed = 0

    @property
    def size(self) -> int:
        """How many bytes are here."""
        return self.data.stat().st_size

    def append(self, source: Readable) -> None:
        """Add what comes, keeping what came if the source breaks off."""
        state = self._state()
        with self.data.open("ab") as sink:
            try:
                while data := source.read(CHUNK):
                    sink.write(data)
                    state.update(data)
                    self._hashed += len(data)
            except BaseException:
                self._hasher = None  # what reached the disk is hashed again when it matters
                raise

    def digest(self, algorithm: str) -> Digest:
        """Hash all bytes; sha256 has been kept up while they came."""
        if algorithm == "sha256":
            return Digest(algorithm, self._state().hexdigest())
        state = hasher(algorithm)
        with self.data.open("rb") as source:
            while data := source.read(CHUNK):
                state.update(data)
        return Digest(algorithm, state.hexdigest())

    def _state(self) -> Hasher:
        """Continue the hash; a session of an earlier process is read again first."""
        if self._hasher is None or self._hashed != self.size:
            self._hasher, self._hashed = hasher("sha256"), 0
            with self.data.open("rb") as source:
                while data := source.read(CHUNK):
                    self._hasher.update(data)
                    self._hashed += len(data)
        return self._hasher


class Storage:
    """Blobs, manifests, tags and uploads on disk; threads may share it, processes may not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads: dict[str, Upload] = {}
        self._guard = threading.Lock()
        #: Held by changes that must see a state which no other change alters.
        self.changes = threading.RLock()

    def prepare(self) -> None:
        """Make the folders, and forget what earlier processes left unfinished."""
        for name in ("blobs/sha256", "repositories", "uploads", "partial"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for partial in (self.root / "partial").iterdir():
            partial.unlink()
        oldest = time.time() - UPLOAD_LIFE
        for folder in (self.root / "uploads").iterdir():
            data = folder / "data"
            if not data.exists() or data.stat().st_mtime < oldest:
                shutil.rmtree(folder)

    # -- content

    def content(self, digest: Digest) -> Path:
        """Say where content is."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Open a blob that the repository has; raises NotFound."""
        if not self.has_blob(repository, digest):
            raise NotFound(f"blob {digest}")
        try:
            return self.content(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"blob {digest}") from None

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether the repository has a blob."""
        return self._link(repository, "_blobs", digest).exists()

    def link_blob(self, repository: str, digest: Digest) -> None:
        """Let a repository have content that is here."""
        self._put(self._link(repository, "_blobs", digest), b"")

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Take a blob from a repository; raises NotFound."""
        self._delete(self._link(repository, "_blobs", digest), f"blob {digest}")

    # -- manifests and tags

    def put_manifest(
        self, repository: str, digest: Digest, media_type: str, raw: bytes, subject: Digest | None
    ) -> None:
        """Keep a manifest, and that it refers to a subject."""
        self._put(self.content(digest), raw)
        if subject is not None:
            self._put(self._referrer(repository, subject, digest), b"")
        self._put(self._link(repository, "_manifests", digest), media_type.encode())

    def manifest(self, repository: str, digest: Digest) -> tuple[str, bytes]:
        """Give media type and bytes; raises NotFound."""
        try:
            media_type = self._link(repository, "_manifests", digest).read_text()
            return media_type, self.content(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"manifest {digest}") from None

    def delete_manifest(self, repository: str, digest: Digest, subject: Digest | None) -> None:
        """Take a manifest and the tags on it from a repository; raises NotFound."""
        self._delete(self._link(repository, "_manifests", digest), f"manifest {digest}")
        for tag in self.tags(repository):
            if self.tagged(repository, tag) == digest:
                self.untag(repository, tag)
        if subject is not None:
            self._referrer(repository, subject, digest).unlink(missing_ok=True)

    def referrers(self, repository: str, subject: Digest) -> list[Digest]:
        """List the manifests whose subject this is, known or not."""
        folder = self._referrer(repository, subject, subject).parent.parent
        return [Digest(f.parent.name, f.name) for f in sorted(folder.glob("*/*"))]

    def tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Let a tag stand for a manifest."""
        self._put(self._folder(repository) / "_tags" / tag, str(digest).encode())

    def tagged(self, repository: str, tag: str) -> Digest:
        """Give what a tag stands for; raises NotFound."""
        try:
            return Digest.parse((self._folder(repository) / "_tags" / tag).read_text())
        except FileNotFoundError:
            raise NotFound(f"tag {tag}") from None

    def untag(self, repository: str, tag: str) -> None:
        """Forget a tag; raises NotFound."""
        self._delete(self._folder(repository) / "_tags" / tag, f"tag {tag}")

    def tags(self, repository: str) -> list[str]:
        """List tags in lexical order; raises NotFound for an unknown repository."""
        folder = self._folder(repository)
        if not (folder / "_manifests").is_dir():
            raise NotFound(f"repository {repository}")
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(folder / "_tags"))
        return []

    def repositories(self) -> list[str]:
        """List repositories that ever had a manifest, in lexical order."""
        return sorted(self._walk(self.root / "repositories"))

    def _walk(self, folder: Path) -> Iterator[str]:
        for entry in os.scandir(folder):
            if entry.name == "_manifests":
                yield str(folder.relative_to(self.root / "repositories"))
            elif not entry.name.startswith("_"):
                yield from self._walk(folder / entry.name)

    # -- uploads

    def begin(self, repository: str) -> Upload:
        """Open an upload."""
        folder = self.root / "uploads" / uuid.uuid4().hex
        folder.mkdir()
        (folder / "repository").write_text(repository)
        (folder / "data").touch()
        upload = Upload(folder, repository)
        with self._guard:
            return self._uploads.setdefault(upload.id, upload)

    def upload(self, repository: str, identity: str) -> Upload:
        """Find an upload, one of an earlier process too; raises NotFound."""
        with self._guard:
            found = self._uploads.get(identity)
            if found is None:
                folder = self.root / "uploads" / identity
                try:
                    found = Upload(folder, (folder / "repository").read_text())
                except OSError:
                    raise NotFound(f"upload {identity}") from None
                self._uploads[identity] = found
        if found.repository != repository or not found.data.exists():
            raise NotFound(f"upload {identity}")
        return found

    def finish(self, upload: Upload, digest: Digest) -> None:
        """Verify what came, keep it as a blob of its repository, and close the upload.

        Raises DigestMismatch.
        """
        found = upload.digest(digest.algorithm)
        if found != digest:
            raise DigestMismatch(f"content has digest {found}, not {digest}")
        with self.changes:
            target = self.content(digest)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                with upload.data.open("rb") as data:
                    os.fsync(data.fileno())
                upload.data.rename(target)
            self.link_blob(upload.repository, digest)
        self.cancel(upload)

    def cancel(self, upload: Upload) -> None:
        """Forget an upload and what came of it."""
        with self._guard:
            self._uploads.pop(upload.id, None)
        shutil.rmtree(upload.data.parent, ignore_errors=True)

    # -- files

    def _folder(self, repository: str) -> Path:
        return self.root / "repositories" / repository

    def _link(self, repository: str, kind: str, digest: Digest) -> Path:
        return self._folder(repository) / kind / digest.algorithm / digest.hex

    def _referrer(self, repository: str, subject: Digest, digest: Digest) -> Path:
        name = f"{subject.algorithm}-{subject.hex}"
        return self._folder(repository) / "_referrers" / name / digest.algorithm / digest.hex

    def _put(self, target: Path, data: bytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self.root / "partial" / uuid.uuid4().hex
        try:
            with partial.open("xb") as sink:
                sink.write(data)
                if data:
                    sink.flush()
                    os.fsync(sink.fileno())
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)

    def _delete(self, path: Path, what: str) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            raise NotFound(what) from None
