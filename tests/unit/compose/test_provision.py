from pathlib import Path

import pytest

from wasmimg_compose.container import ContainerSpec
from wasmimg_compose.model import Build, PullPolicy, Service
from wasmimg_compose.provision import provide
from wasmimg_images.errors import NotFound


class Shelf:
    def __init__(self, **have: str) -> None:
        self.have = have
        self.calls: list[str] = []

    def digest(self, reference: str, platform: str | None) -> str | None:
        return self.have.get(reference)

    def pull(self, reference: str, platform: str | None) -> str:
        self.calls.append(f"pull {reference} {platform}")
        return "sha256:pulled"

    def build(self, context: Path, reference: str, platform: str | None) -> str:
        self.calls.append(f"build {context} {reference}")
        return "sha256:built"


def service(name: str, *, build: bool = False, policy: PullPolicy = "missing") -> Service:
    return Service(
        name,
        ContainerSpec(name, platform="wasi/wasm"),
        Build(Path("/src")) if build else None,
        policy,
    )


def nothing(kind: str, name: str, what: str) -> None:
    assert (kind, bool(name), bool(what)) == ("Image", True, True)


@pytest.mark.parametrize(
    ("wanted", "again", "calls", "digest"),
    [
        (service("here"), False, [], "sha256:here"),
        (service("here", build=True), False, [], "sha256:here"),
        (service("here", build=True), True, ["build /src here"], "sha256:built"),
        (service("here", build=True, policy="build"), False, ["build /src here"], "sha256:built"),
        (service("here", policy="always"), False, ["pull here wasi/wasm"], "sha256:pulled"),
        (service("gone"), False, ["pull gone wasi/wasm"], "sha256:pulled"),
        (service("gone", build=True), False, ["build /src gone"], "sha256:built"),
    ],
)
def test_where_an_image_comes_from(
    wanted: Service, again: bool, calls: list[str], digest: str
) -> None:
    shelf = Shelf(here="sha256:here")
    assert provide([wanted], shelf, nothing, build=again) == {wanted.spec.image: digest}
    assert shelf.calls == calls


def test_an_image_that_must_not_be_pulled_is_named() -> None:
    with pytest.raises(NotFound, match=r"services\.gone: no image gone here"):
        provide([service("gone", policy="never")], Shelf(), nothing)


def test_an_image_of_two_services_is_fetched_once() -> None:
    shelf = Shelf()
    provide([service("same"), service("same")], shelf, nothing)
    assert shelf.calls == ["pull same wasi/wasm"]
