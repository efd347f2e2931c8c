"""What containerd knows of a container's image: the way to modules that are layers, not files.

containerd mounts the files of an image; a layer that is a Wasm module stays in its content store,
where it is asked for over the socket that the start verb is told (`-address`). Sources: containerd,
api/services/{containers,images,content}/v1. Imported when a container has no entrypoint otherwise.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import NamedTuple, NoReturn

from wasmimg_images.digest import Digest, hasher
from wasmimg_images.errors import DigestMismatch, HostError, InvalidInput, NotFound
from wasmimg_images.image import WASM_PLATFORMS
from wasmimg_images.spec import INDEXES, MAX_DOCUMENT, Descriptor, Index, Manifest
from wasmimg_images.wasm_layer import module_layer
from wasmimg_shim import messages  # noqa: TC001  # wire reads the annotations
from wasmimg_shim.compilation import LARGEST_MODULE
from wasmimg_shim.grpc.channel import Channel
from wasmimg_shim.protobuf import MalformedMessage
from wasmimg_shim.ttrpc.status import ProtocolError, RpcError
from wasmimg_shim.wire import decode, encode

_CONTAINERS = "/containerd.services.containers.v1.Containers"
_IMAGES = "/containerd.services.images.v1.Images"
_CONTENT = "/containerd.services.content.v1.Content"


class _Named(NamedTuple):
    """GetContainerRequest and GetImageRequest."""

    name: str = ""


class _Container(NamedTuple):
    """containerd.services.containers.v1.Container, its first fields."""

    id: str = ""
    labels: tuple[messages.KeyValue, ...] = ()
    image: str = ""


class _GetContainerResponse(NamedTuple):
    container: _Container | None = None


class _Descriptor(NamedTuple):
    """containerd.types.Descriptor, its first fields."""

    media_type: str = ""
    digest: str = ""
    size: int = 0


class _Image(NamedTuple):
    """containerd.services.images.v1.Image, its first fields."""

    name: str = ""
    labels: tuple[messages.KeyValue, ...] = ()
    target: _Descriptor | None = None


class _GetImageResponse(NamedTuple):
    image: _Image | None = None


class _ReadContentRequest(NamedTuple):
    digest: str = ""


class _ReadContentResponse(NamedTuple):
    offset: int = 0
    data: bytes = b""


async def module(socket: str, namespace: str, container: str, word: str) -> int | None:
    """Open the module that is a layer of the container's image, None if no layer is one.

    `socket` and `namespace` are containerd's, `word` is what the container's command starts with.
    The descriptor is the caller's. HostError: it can't be asked for. InvalidInput, DigestMismatch:
    the image is not to be used.
    """
    try:
        async with Channel(socket, (("containerd-namespace", namespace),)) as channel:
            manifest = await _manifest(channel, await _target(channel, container))
            layer = module_layer(manifest.layers, word)
            return None if layer is None else await _memory(channel, layer)
    except (OSError, RpcError, ProtocolError, MalformedMessage) as error:
        raise HostError(f"containerd at {socket} was asked for it: {error}") from error


async def _target(channel: Channel, container: str) -> Descriptor:
    answer = await channel.call(f"{_CONTAINERS}/Get", encode(_Named(container)))
    found = decode(_GetContainerResponse, answer).container
    if found is None or not found.image:
        raise HostError(
            "this engine does not say which image a container has (Docker does from version 27),"
            " so no layer can be run"
        )
    answer = await channel.call(f"{_IMAGES}/Get", encode(_Named(found.image)))
    image = decode(_GetImageResponse, answer).image
    if image is None or image.target is None:
        raise HostError(f"containerd has no image {found.image}")
    target = image.target
    return Descriptor(target.media_type, Digest.parse(target.digest), target.size)


async def _manifest(channel: Channel, target: Descriptor) -> Manifest:
    if target.media_type in INDEXES:
        offered = Index.parse(await _document(channel, target)).manifests
        ranked = [
            each for platform in WASM_PLATFORMS for each in offered if each.platform == platform
        ]
        if not ranked:
            raise NotFound("the image has nothing for a Wasm platform")
        target = ranked[0]
    return Manifest.parse(await _document(channel, target))


async def _document(channel: Channel, descriptor: Descriptor) -> bytes:
    """Read a small blob, verified."""
    if descriptor.size > MAX_DOCUMENT:
        raise InvalidInput(f"{descriptor.digest.short} has {descriptor.size} bytes: too many")
    fd = await _memory(channel, descriptor)
    try:
        return os.pread(fd, descriptor.size, 0)
    finally:
        os.close(fd)


async def _memory(channel: Channel, descriptor: Descriptor) -> int:
    """Read a blob into memory, verified; gives the descriptor of a file there."""
    if descriptor.size > LARGEST_MODULE:
        raise InvalidInput(f"the module has {descriptor.size} bytes: more than {LARGEST_MODULE}")
    with ExitStack() as undo:
        fd = os.memfd_create("wasmimg-layer", os.MFD_CLOEXEC)
        undo.callback(os.close, fd)
        blob = _Blob(fd, descriptor)
        request = encode(_ReadContentRequest(str(descriptor.digest)))
        await channel.stream(f"{_CONTENT}/Read", request, blob.take)
        blob.verify()
        undo.pop_all()
    return fd


class _Blob:
    """A blob on its way into a file."""

    def __init__(self, fd: int, descriptor: Descriptor) -> None:
        self._fd = fd
        self._descriptor = descriptor
        self._hasher = hasher(descriptor.digest.algorithm)
        self._size = 0

    def take(self, answer: bytes) -> None:
        """Take a portion of it."""
        data = decode(_ReadContentResponse, answer).data
        self._size += len(data)
        if self._size > self._descriptor.size:
            self._refuse()
        self._hasher.update(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def verify(self) -> None:
        """Raise DigestMismatch unless all of it has come, and nothing else."""
        digest = self._descriptor.digest
        if self._size != self._descriptor.size or self._hasher.hexdigest() != digest.hex:
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise DigestMismatch(f"containerd gave other content than {self._descriptor.digest}")
