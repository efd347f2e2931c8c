"""Images made on the spot: one layer of given files, written straight into a store."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wasmimg_images.reference import Reference
from wasmimg_images.spec import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Platform

if TYPE_CHECKING:
    from wasmimg_images.layout import Store

BUSYBOX = Path("/usr/bin/busybox")
#: The applets that the tests call.
APPLETS = (
    *("sh", "cat", "echo", "env", "false", "grep", "httpd", "id", "ls", "mkdir", "mount", "nc"),
    *("nslookup", "pwd", "rm", "sleep", "sync", "timeout", "touch", "true", "trap", "wget"),
)


def layer(
    files: Mapping[str, bytes | str], *, owners: Mapping[str, tuple[int, int]] | None = None
) -> bytes:
    """Pack files: bytes are contents (executable), a str is the target of a link, "dir/" a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.uid, entry.gid = (owners or {}).get(name, (0, 0))
            entry.mode = 0o755
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return packed.getvalue()


def add_image(
    store: Store,
    name: str,
    layers: Sequence[bytes],
    config: Mapping[str, object],
    platform: Platform,
) -> Descriptor:
    """Write an image of tar layers and tag it."""
    blobs = [store.write(each, OCI_LAYER) for each in layers]
    diff_ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    document = {
        **platform.document(),
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": store.write(json.dumps(document).encode(), OCI_CONFIG).document(),
        "layers": [blob.document() for blob in blobs],
    }
    descriptor = store.write(json.dumps(manifest).encode(), OCI_MANIFEST)
    store.tag(Reference.parse(name), descriptor)
    return descriptor


def busybox_files() -> dict[str, bytes | str]:
    """Give a root filesystem with a shell, from the host's static busybox."""
    return {
        "bin/": b"",
        "bin/busybox": BUSYBOX.read_bytes(),
        **{f"bin/{applet}": "busybox" for applet in APPLETS},
        "etc/": b"",
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
        "etc/group": b"root:x:0:\napp:x:1000:\nextra:x:2000:app\n",
        "tmp/": b"",
    }
