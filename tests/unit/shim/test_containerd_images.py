"""A containerd that answers rightly and wrongly, asked for a container's module."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_images.errors import DigestMismatch, HostError, InvalidInput, NotFound, WasmimgError
from wasmimg_images.layout import Store
from wasmimg_images.spec import OCI_INDEX, Descriptor
from wasmimg_shim import containerd_images, protobuf
from wasmimg_shim.loop import Loop
from wasmimg_testing.grpc_server import Handler, serving
from wasmimg_testing.machines import foreign

MODULE = foreign.Module("hello.wasm", b"\0asm and so on" * 100_000)
CONTAINERS = "/containerd.services.containers.v1.Containers/Get"
IMAGES = "/containerd.services.images.v1.Images/Get"
CONTENT = "/containerd.services.content.v1.Content/Read"


class Containerd:
    """One container `c1` of one image, whose blobs are a store's."""

    def __init__(self, folder: Path, target: Descriptor, store: Store) -> None:
        self.path = folder / "s"
        self.image = "docker.io/test/image:latest"
        self.tampered = b""
        self._target = target
        self._store = store
        self.methods: dict[str, Handler] = {
            CONTAINERS: self._container,
            IMAGES: self._found,
            CONTENT: self._read,
        }

    def module(self, word: str = "/hello.wasm") -> bytes | None:
        """Ask for the module as the shim does."""
        found: list[bytes | None] = []
        errors: list[Exception] = []

        async def ask() -> None:
            fd = await containerd_images.module(str(self.path), "moby", "c1", word)
            if fd is None:
                found.append(None)
                return
            found.append(os.pread(fd, os.fstat(fd).st_size, 0))
            os.close(fd)

        loop = Loop(errors.append)
        loop.spawn(ask())
        loop.run()
        loop.close()
        assert not [fd for fd in os.listdir("/proc/self/fd") if "memfd:wasmimg-layer" in _link(fd)]
        for error in errors:
            raise error
        return found[0]

    def _container(self, request: bytes) -> tuple[list[bytes], int, str]:
        if request != protobuf.encode_field(1, "c1"):
            return [], 5, "not found"
        container = protobuf.encode_field(1, "c1") + protobuf.encode_field(3, self.image)
        return [protobuf.encode_field(1, container)], 0, ""

    def _found(self, request: bytes) -> tuple[list[bytes], int, str]:
        assert request == protobuf.encode_field(1, self.image)
        fields = (self._target.media_type, str(self._target.digest), self._target.size)
        target = b"".join(protobuf.encode_field(n, value) for n, value in enumerate(fields, 1))
        image = protobuf.encode_field(1, self.image) + protobuf.encode_field(3, target)
        return [protobuf.encode_field(1, image)], 0, ""

    def _read(self, request: bytes) -> tuple[list[bytes], int, str]:
        (_, _, digest), *_ = protobuf.decode_fields(request)
        assert isinstance(digest, bytes)
        path = self._store.root / "blobs" / digest.decode().replace(":", "/")
        if not path.exists():
            return [], 5, f"content {digest.decode()}: not found"
        data = path.read_bytes()
        if self.tampered and data.startswith(b"\0asm"):
            data = self.tampered
        return [_portion(data, at) for at in range(0, len(data), 1 << 19)], 0, ""


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def _portion(data: bytes, at: int) -> bytes:
    return protobuf.encode_field(1, at) + protobuf.encode_field(2, data[at : at + (1 << 19)])


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wasmimg-") as path:  # a socket's path is short
        yield Path(path)


def image(folder: Path, *titles: str) -> Containerd:
    """Make a containerd whose image has modules of these names."""
    store = Store(folder / "store")
    modules = [MODULE._replace(title=title) for title in titles]
    target = foreign.add_wasm_layers(
        store, "test/image", foreign.RUNWASI_LAYER, modules, ["/hello.wasm"]
    )
    return Containerd(folder, target, store)


def test_the_module_is_read_by_three_calls_in_the_namespace(folder: Path) -> None:
    containerd = image(folder, "any.wasm")
    with serving(containerd.path, containerd.methods) as seen:
        assert containerd.module() == MODULE.content
    assert [call[":path"] for call in seen] == [CONTAINERS, IMAGES, CONTENT, CONTENT]
    assert {call["containerd-namespace"] for call in seen} == {"moby"}


def test_an_index_is_looked_through_for_a_wasm_platform(folder: Path) -> None:
    store = Store(folder / "store")
    manifest = foreign.add_artifact(store, "test/image", MODULE)
    entries = [
        {**Descriptor.of(b"", manifest.media_type).document(), "platform": platform}
        for platform in ({"os": "linux", "architecture": "amd64"},)
    ]
    entries.append({**manifest.document(), "platform": foreign.WASIP1.document()})
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    containerd = Containerd(folder, store.write(index.encode(), OCI_INDEX), store)
    with serving(containerd.path, containerd.methods):
        assert containerd.module() == MODULE.content
    linux = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries[:1]})
    containerd = Containerd(folder, store.write(linux.encode(), OCI_INDEX), store)
    containerd.path.unlink(missing_ok=True)
    with serving(folder / "s", containerd.methods), pytest.raises(NotFound):
        containerd.module()


def test_an_image_of_files_has_none(folder: Path) -> None:
    store = Store(folder / "store")
    foreign.fill(store)
    target = next(
        found for name, found in store.images() if name.familiar() == "test/wasip1:latest"
    )
    containerd = Containerd(folder, target, store)
    with serving(containerd.path, containerd.methods):
        assert containerd.module() is None


def test_the_engine_may_not_say_which_image_it_is(folder: Path) -> None:
    containerd = image(folder, "any.wasm")
    containerd.image = ""
    with serving(containerd.path, containerd.methods), pytest.raises(HostError) as caught:
        containerd.module()
    assert "does not say which image a container has" in caught.value.message


@pytest.mark.parametrize("content", [b"\0asm other", MODULE.content + b"x", MODULE.content[:-1]])
def test_other_content_is_refused(folder: Path, content: bytes) -> None:
    containerd = image(folder, "any.wasm")
    containerd.tampered = content
    with serving(containerd.path, containerd.methods), pytest.raises(DigestMismatch):
        containerd.module()


def test_one_of_several_has_to_be_named(folder: Path) -> None:
    containerd = image(folder, "a.wasm", "b.wasm")
    with serving(containerd.path, containerd.methods):
        assert containerd.module("/b.wasm") == MODULE.content
        with pytest.raises(InvalidInput, match="2 modules as layers"):
            containerd.module("/c.wasm")


@pytest.mark.parametrize("missing", [CONTAINERS, IMAGES, CONTENT])
def test_a_refusal_is_told_with_the_socket(folder: Path, missing: str) -> None:
    containerd = image(folder, "any.wasm")
    containerd.methods[missing] = lambda _: ([], 14, "shutting down")
    with serving(containerd.path, containerd.methods), pytest.raises(HostError) as caught:
        containerd.module()
    assert (
        caught.value.message == f"containerd at {containerd.path} was asked for it: shutting down"
    )


@pytest.mark.parametrize("answer", [[], [b"", b""], [b"\xff"]])
def test_an_answer_that_makes_no_sense_is_told(folder: Path, answer: list[bytes]) -> None:
    containerd = image(folder, "any.wasm")
    containerd.methods[CONTAINERS] = lambda _: (answer, 0, "")
    with serving(containerd.path, containerd.methods), pytest.raises(HostError):
        containerd.module()


def test_nobody_may_be_there(folder: Path) -> None:
    containerd = image(folder, "any.wasm")
    with pytest.raises(HostError, match="was asked for it"):
        containerd.module()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(containerd.path))
        with pytest.raises(HostError, match="was asked for it"):
            containerd.module()


def test_who_closes_the_connection_is_told(folder: Path) -> None:
    containerd = image(folder, "any.wasm")

    def break_off(_: bytes) -> tuple[list[bytes], int, str]:
        raise ConnectionResetError

    containerd.methods[CONTENT] = break_off
    with serving(containerd.path, containerd.methods), pytest.raises(WasmimgError):
        containerd.module()
