"""The values of the OCI image specification, each with the bytes that it was parsed from.

Digests are computed over what was served, never over what we would write: hence `raw`.
Docker's schema 2 documents differ in media types only and parse into the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.digest import Digest
from wasmimg_images.document import Node
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
#: image-spec, manifest: registries refuse larger ones, so a larger one is hostile.
MAX_DOCUMENT: Final = 4 << 20

ANNOTATION_REF_NAME: Final = "org.opencontainers.image.ref.name"


class Platform(NamedTuple):
    """What an image runs on: `wasi/wasm`, `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parse `os/architecture[/variant]` as Docker's --platform takes it."""
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise InvalidInput(
                f"{text!r} is not a platform",
                hint="os/architecture[/variant], as in wasi/wasm or linux/amd64",
            )
        if parts[0] == "linux" and parts[1].startswith("wasm"):
            raise InvalidInput(f"platform {text!r} does not exist", hint="did you mean wasi/wasm?")
        return cls(*parts)

    @classmethod
    def from_node(cls, node: Node) -> Platform:
        """Read a descriptor's platform."""
        variant = node.get("variant")
        return cls(
            node.need("os").text(),
            node.need("architecture").text(),
            variant.text() if variant else None,
        )

    def document(self) -> dict[str, object]:
        """Give the JSON form."""
        found: dict[str, object] = {"os": self.os, "architecture": self.architecture}
        if self.variant:
            found["variant"] = self.variant
        return found

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a blob is, its digest and its size in bytes (image-spec, descriptor)."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Descriptor:
        """Describe bytes."""
        return cls(media_type, Digest.of(data), len(data))

    @classmethod
    def from_node(cls, node: Node) -> Descriptor:
        """Read one out of a manifest, an index or a layout."""
        size = node.need("size").integer()
        if size < 0:
            raise InvalidInput(f"{node.where}.size: negative")
        platform, annotations = node.get("platform"), node.get("annotations")
        artifact_type, urls = node.get("artifactType"), node.get("urls")
        return cls(
            node.need("mediaType").text(),
            Digest.parse(node.need("digest").text()),
            size,
            platform=Platform.from_node(platform) if platform else None,
            annotations=annotations.text_map() if annotations else {},
            artifact_type=artifact_type.text() if artifact_type else None,
            urls=urls.texts() if urls else (),
        )

    def document(self) -> dict[str, object]:
        """Give the JSON form."""
        found: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.platform:
            found["platform"] = self.platform.document()
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.urls:
            found["urls"] = list(self.urls)
        return found

    def plain(self) -> Descriptor:
        """Leave only what identifies the content."""
        return Descriptor(self.media_type, self.digest, self.size)

    def annotated(self, annotations: Mapping[str, str]) -> Descriptor:
        """Add annotations; the given ones win."""
        return replace(self, annotations={**self.annotations, **annotations})


def _versioned(raw: bytes, where: str) -> Node:
    if len(raw) > MAX_DOCUMENT:
        raise InvalidInput(f"{where} has {len(raw)} bytes: more than {MAX_DOCUMENT}")
    node = Node.parse(raw, where)
    version = node.need("schemaVersion").integer()
    if version != 2:  # noqa: PLR2004 -- image-spec: "MUST be 2"
        raise InvalidInput(
            f"{where}: schemaVersion {version} is not supported",
            hint="push the image again with a tool made after 2017" if version == 1 else None,
        )
    return node


def _media_type(node: Node, allowed: frozenset[str], default: str) -> str:
    declared = node.get("mediaType")
    if declared is None:
        return default
    media_type = declared.text()
    if media_type not in allowed:
        raise InvalidInput(f"{declared.where}: {media_type!r} is not of this kind")
    return media_type


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform: a config and layers, bottom first."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Parse; raises InvalidInput that names the field."""
        node = _versioned(raw, "manifest")
        if node.get("manifests"):
            # A document that is both is an attack on readers that differ (CVE-2021-41190).
            raise InvalidInput("manifest: has a list of manifests, so it is an index")
        annotations, subject = node.get("annotations"), node.get("subject")
        artifact_type, layers = node.get("artifactType"), node.get("layers")
        return cls(
            raw,
            _media_type(node, MANIFESTS, OCI_MANIFEST),
            Descriptor.from_node(node.need("config")),
            tuple(Descriptor.from_node(item) for item in layers.items()) if layers else (),
            annotations=annotations.text_map() if annotations else {},
            subject=Descriptor.from_node(subject) if subject else None,
            artifact_type=artifact_type.text() if artifact_type else None,
        )


@dataclass(frozen=True, slots=True)
class Index:
    """Several images under one name, told apart by platform."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    subject: Descriptor | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Index:
        """Parse; raises InvalidInput that names the field."""
        node = _versioned(raw, "index")
        if node.get("layers") or node.get("config"):
            raise InvalidInput("index: has a config or layers, so it is a manifest")
        annotations, subject = node.get("annotations"), node.get("subject")
        return cls(
            raw,
            _media_type(node, INDEXES, OCI_INDEX),
            tuple(Descriptor.from_node(item) for item in node.need("manifests").items()),
            annotations=annotations.text_map() if annotations else {},
            subject=Descriptor.from_node(subject) if subject else None,
        )
