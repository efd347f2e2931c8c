"""What is refused of a spec, by itself and with its image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import creation
from wasmimg_compose.container import ContainerSpec, Healthcheck, Limits, RestartPolicy
from wasmimg_images.errors import InvalidInput
from wasmimg_images.image import Image, host_platform, select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, layer

if TYPE_CHECKING:
    from wasmimg_images.home import Home


@pytest.mark.parametrize("name", ["always", "unless-stopped", "on-failure"])
def test_what_is_removed_can_not_be_started_again(name: str) -> None:
    policy = RestartPolicy(name)  # type: ignore[arg-type]  # each is one of the literals
    with pytest.raises(InvalidInput, match="--rm and a restart policy exclude each other"):
        creation.check(ContainerSpec("demo", restart=policy, auto_remove=True))
    creation.check(ContainerSpec("demo", restart=policy))
    creation.check(ContainerSpec("demo", auto_remove=True))


def test_a_memory_limit_must_leave_room_for_init() -> None:
    with pytest.raises(InvalidInput, match="a memory limit of 1024 bytes is too little") as refused:
        creation.check(ContainerSpec("demo", limits=Limits(memory=1024)))
    assert refused.value.hint == "6m at least"
    creation.check(ContainerSpec("demo", limits=Limits(memory=6 << 20)))


def test_an_images_health_check_with_an_open_quote_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    config = {"Cmd": ["/x"], "Healthcheck": {"Test": ["CMD-SHELL", "wasmimg-probe 'x"]}}
    add_image(Store(home.store), "quoted", [layer({"x": b""})], config, host_platform())
    with pytest.raises(InvalidInput, match="can't be split into words: No closing quotation"):
        creation.create(home, ContainerSpec("quoted"))


@pytest.mark.parametrize("target", ["/dev", "/", "/proc/"])
def test_an_images_volume_on_what_the_runtime_makes_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    config = {"Cmd": ["/x"], "Volumes": {target: {}}}
    add_image(Store(home.store), "wide", [layer({"x": b""})], config, host_platform())
    with pytest.raises(InvalidInput, match="nothing can be mounted on"):
        creation.create(home, ContainerSpec("wide"))


@pytest.mark.parametrize(
    ("name", "number"), [("15", 15), ("SIGTERM", 15), ("term", 15), ("RTMIN+3", 37), ("64", 64)]
)
def test_signals_by_name_and_number(name: str, number: int) -> None:
    assert creation.signal_number(name) == number


@pytest.mark.parametrize("name", ["٣", "0", "65", "RTMIN+99", "RTMIN+", "xRTMIN+1", "", "9" * 5000])
def test_what_is_no_signal(name: str) -> None:
    with pytest.raises(InvalidInput):
        creation.signal_number(name)


def checked(home: Home, **check: object) -> Image:
    """Make an image with a health check."""
    store = Store(home.store)
    config = {"Healthcheck": {"Test": ["CMD", "true"], **check}}
    add_image(store, "app", [], config, Platform("linux", "amd64"))
    return select(store, store.resolve(Reference.parse("app")), None)


def test_an_images_health_check_has_docker_s_defaults(home: Home) -> None:
    spec = ContainerSpec("app")
    assert creation._healthcheck(spec, checked(home)) == Healthcheck(("CMD", "true"))
    found = creation._healthcheck(spec, checked(home, Interval=2_000_000, Retries=5))
    assert found == Healthcheck(("CMD", "true"), interval=0.002, retries=5)


@pytest.mark.parametrize(
    "check", [{"Interval": -5}, {"Timeout": 999_999}, {"StartPeriod": -1}, {"Retries": -1}]
)
def test_an_images_health_check_that_can_not_be(home: Home, check: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"^app: .* health check"):
        creation._healthcheck(ContainerSpec("app"), checked(home, **check))
    none = ContainerSpec("app", healthcheck=Healthcheck(("NONE",)))
    assert creation._healthcheck(none, checked(home, **check)) is None
