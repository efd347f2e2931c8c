"""What `ps` says of a container."""

from __future__ import annotations

import time

import pytest

from wasmimg.commands.ps import status_of
from wasmimg_compose.container import ContainerSpec, RestartPolicy
from wasmimg_compose.record import Record, Stored


def record(**changes: object) -> Record:
    spec = ContainerSpec("demo", restart=RestartPolicy("on-failure"))
    made = Record("id", "web", spec, Stored("m", "d", 1, "p"), 1.0, wanted="running")
    moments = {"started_at": time.time() - 185, "finished_at": time.time() - 5.5}
    return made._replace(**{**moments, **changes})  # type: ignore[arg-type]  # fields of a record


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"state": "created"}, "Created"),
        ({"state": "running"}, "Up 3 minutes"),
        ({"state": "running", "health": "healthy"}, "Up 3 minutes (healthy)"),
        ({"state": "exited", "exit_code": 7}, "Restarting (7) 5 seconds ago"),
        ({"state": "exited", "exit_code": 7, "wanted": "stopped"}, "Exited (7) 5 seconds ago"),
        ({"state": "starting", "exit_code": 7, "restarts": 1}, "Restarting (7) 5 seconds ago"),
        ({"state": "starting"}, "Starting"),
        ({"state": "exited", "exit_code": 0}, "Exited (0) 5 seconds ago"),
        ({"state": "exited", "finished_at": 0.0, "wanted": "stopped"}, "Exited (0)"),
    ],
)
def test_the_status_is_worded_as_dockers(changes: dict[str, object], status: str) -> None:
    assert status_of(record(**changes)) == status
