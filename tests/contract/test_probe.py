"""What every Probe must do, the built-in one and the one that a Linux container's shim runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from wasmimg_compose import lifecycle
from wasmimg_compose.container import ContainerSpec
from wasmimg_compose.places import Places
from wasmimg_compose.probe import BuiltInProbe, ExecProbe, Probe
from wasmimg_testing.embedded import Machine, until
from wasmimg_testing.waiting import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home

pytestmark = [pytest.mark.root, pytest.mark.network]
SERVE = "mkdir /www; echo hi > /www/index.html; exec httpd -f -p 80 -h /www"


class Maker(Protocol):
    def __call__(self, what: str) -> Probe: ...


@pytest.fixture
def container(home: Home) -> Iterator[tuple[Home, Record]]:
    machine = Machine(home)
    made = lifecycle.create(home, ContainerSpec("busy", command=("sh", "-c", SERVE)))
    yield home, lifecycle.start(home, made.id)
    machine.clear()


@pytest.fixture(params=["built-in", "exec"])
def make(request: pytest.FixtureRequest, container: tuple[Home, Record]) -> Maker:
    home, record = container
    words = {
        "built-in": {
            "good": ["wasmimg-probe", "http", "http://127.0.0.1/"],
            "bad": ["wasmimg-probe", "http", "http://127.0.0.1/nothing"],
            "slow": ["wasmimg-probe", "http", f"http://{record.endpoints[0].gateway[:-1]}250/"],
        },
        "exec": {
            "good": ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"],
            "bad": ["false"],
            "slow": ["sleep", "100"],
        },
    }[request.param]
    process: dict[str, object] = {"cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    numbers = iter(range(100))

    def made(what: str) -> Probe:
        if request.param == "built-in":
            return BuiltInProbe(words[what], Places(home, record.id).namespace, 30)
        name = f"probe-{next(numbers)}"
        return ExecProbe(record.shim, record.id, {**process, "args": words[what]}, name)

    until(lambda: answer(made("good")), "the service to be up")
    return made


def answer(probe: Probe) -> bool:
    assert readable(probe)
    return probe.passed()


def test_it_tells_good_from_bad(make: Maker) -> None:
    assert answer(make("good"))
    assert not answer(make("bad"))


def test_it_is_not_readable_before_its_answer(make: Maker) -> None:
    probe = make("slow")
    assert not readable(probe, 0.2)
    probe.abandon()


def test_one_can_follow_an_abandoned_one(make: Maker) -> None:
    make("slow").abandon()
    assert answer(make("good"))
