"""Unpacked layers, one folder each, shared by every image and container that has them.

A folder is named by its chain id (image-spec, config.md, "Layer ChainID") and appears whole: it is
filled beside and renamed, under a lock per chain. A killed process leaves a `.partial` folder that
the next one, holding the lock, deletes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.digest import Digest
from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_images.image import load
from wasmimg_images.private import make_private
from wasmimg_images.spec import MANIFESTS
from wasmimg_images.tree import closure

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Sequence
    from pathlib import Path

    from wasmimg_images.image import Image
    from wasmimg_images.layout import Store
    from wasmimg_images.spec import Descriptor

#: Files of an uncompressed layer may take as much; the tar's own limit comes first otherwise.
_MAX_FILES: Final = 64 << 30


class _Step(NamedTuple):
    chain: Digest
    diff_id: Digest
    layer: Descriptor


def chain_ids(diff_ids: Sequence[Digest]) -> list[Digest]:
    """Name each stack of layers, bottom first."""
    found: list[Digest] = []
    for diff_id in diff_ids:
        found.append(Digest.of(f"{found[-1]} {diff_id}".encode()) if found else diff_id)
    return found


def chains_of(store: Store, descriptors: Iterable[Descriptor]) -> set[Digest]:
    """Name every stack of layers that images may be unpacked to, whatever the platform."""
    found: set[Digest] = set()
    for blob in closure(store, descriptors):
        if blob.media_type in MANIFESTS:
            with contextlib.suppress(InvalidInput):  # an artifact is never unpacked
                found.update(chain_ids(load(store, blob).config.diff_ids))
    return found


class Snapshots:
    """The folder of unpacked layers."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def layers(self, store: Store, image: Image) -> list[Path]:
        """Unpack what is not unpacked yet; gives overlayfs's lower directories, bottom first.

        Raises InvalidInput or DigestMismatch for a bad layer, NotFound for a missing one.
        """
        steps = _steps(image)
        ready: list[Path] = []
        for step in steps:
            folder = self.path(step.chain)
            if not folder.is_dir():
                self._unpack(store, step, folder, ready)
            ready.append(folder)
        return ready

    def path(self, chain: Digest) -> Path:
        """Say where a layer's files are, whether unpacked or not."""
        return self._root / chain.hex / "fs"

    def prune(self, keep: Collection[Digest]) -> int:
        """Delete all but the given chains, and say how many went; a chain being made stays."""
        gone = 0
        for folder in self._root.glob("?" * 64):
            if Digest("sha256", folder.name) in keep:
                continue
            with contextlib.suppress(BlockingIOError), self._locked(folder.name, wait=False):
                partial = folder.with_name(f"{folder.name}.partial")
                folder.rename(partial)
                shutil.rmtree(partial)
                gone += 1
        return gone

    def _unpack(self, store: Store, step: _Step, folder: Path, below: Sequence[Path]) -> None:
        name = step.chain.hex
        with self._locked(name):
            if folder.is_dir():
                return
            # Only here: a start with unpacked layers does not pay for tar and zstandard.
            from wasmimg_images.compression import layer_content
            from wasmimg_images.layer import unpack

            partial = self._root / f"{name}.partial"
            try:
                if partial.exists():
                    shutil.rmtree(partial)
                (partial / "fs").mkdir(parents=True)
                with store.open(step.layer) as stream:
                    layer_content(
                        stream,
                        step.layer.size,
                        step.diff_id,
                        lambda tar: unpack(
                            tar,
                            partial / "fs",
                            lower=below[::-1],
                            limit=_MAX_FILES,
                        ),
                    )
                partial.rename(folder.parent)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise HostError(f"{self._root}: {error.strerror}") from error
                raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Generator[None]:
        locks = self._root / "locks"
        if not locks.is_dir():
            make_private(self._root)
            locks.mkdir(exist_ok=True)
        fd = os.open(locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(fd)


def _steps(image: Image) -> list[_Step]:
    layers, diff_ids = image.manifest.layers, image.config.diff_ids
    if len(layers) != len(diff_ids):
        raise InvalidInput(
            f"image {image.descriptor.digest.short} has {len(layers)} layers"
            f" and {len(diff_ids)} diff_ids",
        )
    chains = chain_ids(diff_ids)
    return [_Step(*step) for step in zip(chains, diff_ids, layers, strict=True)]
