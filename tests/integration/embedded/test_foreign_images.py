"""Images that other tools have made, run without an engine: our own store has what they are of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from wasmimg_builder.build import Builder, Request
from wasmimg_compose import lifecycle
from wasmimg_compose.container import Attachment, ContainerSpec
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_testing.machines import foreign
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_testing.embedded import Machine

pytestmark = [pytest.mark.root, pytest.mark.network]
NO_NETWORK = (Attachment("none"),)


def run(machine: Machine, name: str, entrypoint: tuple[str, ...] | None = None) -> tuple[int, str]:
    spec = ContainerSpec(f"test/{name}", entrypoint=entrypoint, networks=NO_NETWORK)
    record = machine.start(spec)
    return lifecycle.wait(machine.home, record.id), machine.log(record)


def test_each_runs_its_module(machine: Machine) -> None:
    for name in foreign.fill(Store(machine.home.store)):
        expected = (42, "") if name == "layer-two" else (0, "hello\n")
        assert (name, *run(machine, name)) == (name, *expected)


def test_a_function_and_another_module(machine: Machine) -> None:
    foreign.fill(Store(machine.home.store))
    assert run(machine, "artifact", ("/hello.wasm#quiet",)) == (0, "")
    assert run(machine, "layer-two", ("/hello.wasm",)) == (0, "hello\n")


def test_an_artifact_of_ours(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "mine.wasm").write_bytes(guest("hello"))
    builder = Builder(Store(machine.home.store), tmp_path / "cache", os.environ, print)
    builder.build(
        Request(tmp_path / "mine.wasm", (Reference.parse("test/mine"),), shape="artifact")
    )
    assert run(machine, "mine") == (0, "hello\n")
