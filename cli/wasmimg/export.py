"""Where an image is written beside the store: `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from wasmimg_images.archive import docker, oci
from wasmimg_images.errors import InvalidInput
from wasmimg_images.image import select

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from wasmimg_images.layout import Store
    from wasmimg_images.reference import Reference
    from wasmimg_images.spec import Descriptor

KINDS: Final = ("oci", "oci-archive", "docker-archive")


class Export(NamedTuple):
    """A kind of output, and its path; `-` is standard output."""

    kind: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Export:
        """Parse KIND:PATH; raises InvalidInput."""
        kind, colon, path = text.partition(":")
        if kind not in KINDS or not colon or not path:
            raise InvalidInput(
                f"output {text!r} is not understood",
                hint="oci:DIR, oci-archive:FILE or docker-archive:FILE",
            )
        return cls(kind, path)

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


def write_exports(
    store: Store,
    exports: Sequence[Export],
    descriptor: Descriptor,
    references: Sequence[Reference],
) -> None:
    """Write one image to each output; files and folders appear whole."""
    for export in exports:
        if export.kind == "oci":
            oci.write_folder(store, [(descriptor, references)], Path(export.path))
            continue
        with whole_file(export.path) as sink:
            if export.kind == "oci-archive":
                oci.write_archive(store, [(descriptor, references)], sink)
            else:
                docker.write(store, [(select(store, descriptor), references)], sink)


@contextlib.contextmanager
def whole_file(path: str) -> Generator[BinaryIO]:
    """Open a file that takes its name only when it is complete; `-` is standard output."""
    if path == "-":
        if sys.stdout.isatty():
            raise InvalidInput("an archive is not for a terminal", hint="redirect it, or use -o")
        yield sys.stdout.buffer
        return
    target = Path(path)
    if not target.name or target.is_dir():
        raise InvalidInput(f"{path!r} names no file", hint="name the file to write")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
