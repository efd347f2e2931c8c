"""The image configuration: what runs by default, and the layers' uncompressed digests.

Fields and their Docker extensions: image-spec, config.md; Docker image spec v1.3 (Healthcheck).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.digest import Digest
from wasmimg_images.document import Node
from wasmimg_images.errors import InvalidInput
from wasmimg_images.spec import MAX_DOCUMENT, Platform

if TYPE_CHECKING:
    from collections.abc import Mapping


class Healthcheck(NamedTuple):
    """Docker's health check: `test` is `("CMD", …)`, `("CMD-SHELL", line)` or `("NONE",)`.

    Times are nanoseconds, 0 for the runtime's default.
    """

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    retries: int = 0

    @classmethod
    def from_node(cls, node: Node) -> Healthcheck:
        """Read the config's Healthcheck; its numbers have 64 bits (Go's time.Duration and int)."""

        def number(key: str) -> int:
            found = node.get(key)
            value = found.integer() if found else 0
            if found and not -(1 << 63) <= value < 1 << 63:
                raise found.wrong("an integer of 64 bits")
            return value

        test = node.get("Test")
        return cls(
            test.texts() if test else (),
            number("Interval"),
            number("Timeout"),
            number("StartPeriod"),
            number("Retries"),
        )

    def document(self) -> dict[str, object]:
        """Give the JSON form, without defaults."""
        numbers = {
            "Interval": self.interval,
            "Timeout": self.timeout,
            "StartPeriod": self.start_period,
            "Retries": self.retries,
        }
        return {"Test": list(self.test), **{k: v for k, v in numbers.items() if v}}


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """An image's configuration."""

    raw: bytes
    platform: Platform
    diff_ids: tuple[Digest, ...] = ()
    created: str | None = None
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    healthcheck: Healthcheck | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @classmethod
    def parse(cls, raw: bytes) -> ImageConfig:
        """Parse; raises InvalidInput that names the field."""
        if len(raw) > MAX_DOCUMENT:
            raise InvalidInput(f"image config has {len(raw)} bytes: more than {MAX_DOCUMENT}")
        node = Node.parse(raw, "image config")
        created, rootfs = node.get("created"), node.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if rootfs else None
        run = node.get("config") or Node({}, "image config.config")
        stop_signal, health, labels = (
            run.get(key) for key in ("StopSignal", "Healthcheck", "Labels")
        )
        return cls(
            raw,
            Platform.from_node(node),
            tuple(Digest.parse(item.text()) for item in diff_ids.items()) if diff_ids else (),
            created=created.text() if created else None,
            entrypoint=_texts(run, "Entrypoint"),
            cmd=_texts(run, "Cmd"),
            env=_texts(run, "Env"),
            user=_text(run, "User"),
            working_dir=_text(run, "WorkingDir"),
            exposed_ports=_keys(run, "ExposedPorts"),
            volumes=_keys(run, "Volumes"),
            stop_signal=stop_signal.text() if stop_signal else None,
            healthcheck=Healthcheck.from_node(health) if health else None,
            labels=labels.text_map() if labels else {},
        )


def _text(node: Node, key: str) -> str:
    found = node.get(key)
    return found.text() if found else ""


def _texts(node: Node, key: str) -> tuple[str, ...]:
    found = node.get(key)
    return found.texts() if found else ()


def _keys(node: Node, key: str) -> tuple[str, ...]:
    """Read a Go set: an object whose values mean nothing."""
    found = node.get(key)
    return tuple(found.fields()) if found else ()
