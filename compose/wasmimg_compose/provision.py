"""The images of a project, made or fetched before anything starts.

Where an image comes from is a parameter; embedded_images.py has the store, registries and builder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wasmimg_images.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from wasmimg_compose.deploy import Report
    from wasmimg_compose.model import Service


class Images(Protocol):
    """Where images are looked for; a digest is that of the manifest which a container would be made of."""

    def digest(self, reference: str, platform: str | None) -> str | None:
        """Look into the local store."""
        ...

    def pull(self, reference: str, platform: str | None) -> str:
        """Fetch from the registry that the reference names; RegistryError, NotFound."""
        ...

    def build(self, context: Path, reference: str, platform: str | None) -> str:
        """Build a project and tag the image."""
        ...


def provide(
    services: Iterable[Service], images: Images, report: Report, *, build: bool = False
) -> dict[str, str]:
    """Have every service's image in the store, and tell which digest each reference means.

    `build` builds again what can be built. Raises NotFound for an image that is neither here, nor
    can be built or fetched, with a hint.
    """
    digests: dict[str, str] = {}
    for service in services:
        reference = service.spec.image
        if reference not in digests:
            digests[reference] = _provide(service, images, report, build)
    return digests


def _provide(service: Service, images: Images, report: Report, build: bool) -> str:
    reference, platform = service.spec.image, service.spec.platform
    present = None if service.pull_policy == "always" else images.digest(reference, platform)
    if service.build and (build or present is None or service.pull_policy == "build"):
        report("Image", reference, "Building")
        digest = images.build(service.build.context, reference, platform)
        report("Image", reference, "Built")
        return digest
    if present is not None:
        return present
    if service.pull_policy == "never":
        raise NotFound(
            f"services.{service.name}: no image {reference} here, and pull_policy is never"
        )
    report("Image", reference, "Pulling")
    digest = images.pull(reference, platform)
    report("Image", reference, "Pulled")
    return digest
