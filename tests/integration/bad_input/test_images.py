"""Images that lie, and layers that try to get out: loaded, pulled and run."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.spec import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from wasmimg_testing.commandline import CommandLine

pytestmark = [pytest.mark.root, pytest.mark.network]
GZIP = f"{OCI_LAYER}+gzip"
APP = bytes(guest("hello"))
SALT = itertools.count()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, target, 0o755
    return found


def packed(*entries: tarfile.TarInfo) -> bytes:
    """Pack a layer with a working program, then these entries, each with `evil` in it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        # What one test brings into the store must be no answer to the next one's lie.
        archive.addfile(entry(f"salt-{next(SALT)}", tarfile.DIRTYPE))
        program = entry("app.wasm")
        program.size = len(APP)
        archive.addfile(program, io.BytesIO(APP))
        for each in entries:
            if each.type == tarfile.REGTYPE:
                each.size = 4
            archive.addfile(each, io.BytesIO(b"evil"))
    return stream.getvalue()


class Layout:
    """An OCI layout in the making; what is said of a blob may be changed before it is saved."""

    def __init__(self, folder: Path, layer: bytes, media_type: str = OCI_LAYER) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        content = gzip.decompress(layer) if media_type == GZIP else layer
        self.config: dict[str, object] = {
            "os": "wasi",
            "architecture": "wasm",
            "config": {"Entrypoint": ["/app.wasm"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(content)}"]},
        }
        self.layer = self.blob(layer, media_type)
        self.manifest: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}

    def blob(self, content: bytes, media_type: str) -> dict[str, object]:
        (self.folder / "blobs" / "sha256" / sha256(content)).write_bytes(content)
        digest = f"sha256:{sha256(content)}"
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def save(self) -> Path:
        config = self.blob(json.dumps(self.config).encode(), OCI_CONFIG)
        document = {"config": config, "layers": [self.layer], **self.manifest}
        named = self.blob(json.dumps(document).encode(), OCI_MANIFEST)
        named["annotations"] = {
            "org.opencontainers.image.ref.name": "docker.io/library/liar:latest"
        }
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named]}
        (self.folder / "index.json").write_text(json.dumps(index))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return self.folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def path_of(layout: Layout) -> Path:
    return layout.folder / "blobs" / "sha256" / str(layout.layer["digest"]).partition(":")[2]


def truncate(layout: Layout) -> None:
    path_of(layout).write_bytes(path_of(layout).read_bytes()[:-100])


def damage(layout: Layout) -> None:
    path_of(layout).write_bytes(bytes(path_of(layout).stat().st_size))


def remove(layout: Layout) -> None:
    path_of(layout).unlink()


def lie_about_size(layout: Layout) -> None:
    layout.layer["size"] = 17


def lie_about_diff_id(layout: Layout) -> None:
    layout.config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}


def lie_about_layers(layout: Layout) -> None:
    layout.config["rootfs"] = {"type": "layers", "diff_ids": []}


def odd_digest(layout: Layout) -> None:
    layout.layer["digest"] = "sha256:../../../../etc/passwd"


def odd_size(layout: Layout) -> None:
    layout.layer["size"] = -1


def no_layers(layout: Layout) -> None:
    layout.manifest["layers"] = "none"


def odd_entrypoint(layout: Layout) -> None:
    layout.config["config"] = {"Entrypoint": {"a": 1}}


LIES: dict[str, tuple[Callable[[Layout], None], int]] = {
    "truncated": (truncate, 6),
    "damaged": (damage, 6),
    "missing": (remove, 4),
    "size": (lie_about_size, 6),
    "diff-id": (lie_about_diff_id, 6),
    "too-few-diff-ids": (lie_about_layers, 3),
    "digest-with-dots": (odd_digest, 3),
    "negative-size": (odd_size, 3),
    "layers-of-text": (no_layers, 3),
    "entrypoint-of-objects": (odd_entrypoint, 3),
}


def load_and_run(wasmimg: CommandLine, layout: Layout, code: int) -> str:
    """Check that the image is refused when it is loaded, or else when it is run."""
    done = wasmimg("load", "-i", layout.save())
    if done.code == 0:
        done = wasmimg("run", "--rm", "liar")
    done.says(code)
    wasmimg("rmi", "-f", "liar")
    half_done = [
        path for path in wasmimg.home.data.rglob("*") if path.name.startswith((".", "tmp"))
    ]
    assert not [path for path in half_done if path.is_dir()], half_done
    return done.err


@pytest.mark.parametrize(("lie", "code"), LIES.values(), ids=LIES)
def test_lies(
    wasmimg: CommandLine, tmp_path: Path, lie: Callable[[Layout], None], code: int
) -> None:
    layout = Layout(tmp_path / "layout", packed())
    lie(layout)
    load_and_run(wasmimg, layout, code)


def device(name: str) -> tarfile.TarInfo:
    found = entry(name, tarfile.CHRTYPE)
    found.devmajor, found.devminor = 1, 8
    return found


ESCAPES = {
    "dots": [entry("../../../../../../../../tmp/wasmimg-evil")],
    "dots-within": [entry("a/../../../../../../../../../tmp/wasmimg-evil")],
    "absolute": [entry("/tmp/wasmimg-evil")],
    "through-a-link": [entry("up", tarfile.SYMTYPE, "/tmp"), entry("up/wasmimg-evil")],
    "through-dots-in-a-link": [
        entry("up", tarfile.SYMTYPE, "../../../../../../../../tmp"),
        entry("up/wasmimg-evil"),
    ],
    "hard-link-out": [entry("up", tarfile.LNKTYPE, "../../../../../../../../etc/passwd")],
    "hard-link-through-a-link": [
        entry("up", tarfile.SYMTYPE, "/etc"),
        entry("passwd", tarfile.LNKTYPE, "up/hostname"),
    ],
    "whiteout-of-dots": [entry("a/.wh..."), entry(".wh...")],
    "device": [device("random")],
    "sparse": [entry("holes", tarfile.GNUTYPE_SPARSE)],
}


@pytest.mark.parametrize("entries", ESCAPES.values(), ids=ESCAPES)
def test_escapes(wasmimg: CommandLine, tmp_path: Path, entries: list[tarfile.TarInfo]) -> None:
    layout = Layout(tmp_path / "layout", packed(*entries))
    before = Path("/etc/passwd").read_bytes()
    wasmimg("load", "-i", layout.save())
    done = wasmimg("run", "--rm", "liar")
    if done.code:
        done.says(3)
    else:
        assert done.well() == "hello"
    assert not Path("/tmp/wasmimg-evil").exists()
    assert Path("/etc/passwd").read_bytes() == before
    devices = [path for path in wasmimg.home.snapshots.rglob("random") if path.is_char_device()]
    assert not devices
    wasmimg("rmi", "-f", "liar").well()


def test_a_gzip_bomb(wasmimg: CommandLine, tmp_path: Path) -> None:
    """A layer of a thousand times its size, under the diff_id of a small one."""
    small = packed()
    layout = Layout(tmp_path / "layout", gzip.compress(small + bytes(256 << 20), 1), GZIP)
    layout.config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{sha256(small)}"]}
    load_and_run(wasmimg, layout, 6)
    used = sum(path.lstat().st_size for path in wasmimg.home.data.rglob("*") if path.is_file())
    assert used < 64 << 20


def test_a_truncated_gzip_stream(wasmimg: CommandLine, tmp_path: Path) -> None:
    whole = gzip.compress(packed())
    layout = Layout(tmp_path / "layout", whole, GZIP)
    layout.layer = layout.blob(whole[:-30], GZIP)
    load_and_run(wasmimg, layout, 3)


def test_a_layer_that_is_no_archive(wasmimg: CommandLine, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout", b"no archive" * 100)
    load_and_run(wasmimg, layout, 3)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"no archive" * 100, packed()[:700]])
def test_archives_that_can_not_be_loaded(
    wasmimg: CommandLine, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "image.tar").write_bytes(content)
    wasmimg("load", "-i", tmp_path / "image.tar").says(3)
    wasmimg("load", "-i", tmp_path / "none.tar").says(4, "none.tar")
