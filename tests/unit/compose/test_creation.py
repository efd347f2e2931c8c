"""What is refused of a spec before an image is looked at."""

from __future__ import annotations

import pytest

from wasmimg_compose import creation
from wasmimg_compose.container import ContainerSpec, Limits, RestartPolicy
from wasmimg_images.errors import InvalidInput


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
