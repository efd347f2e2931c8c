from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.messages import TaskStatus
from wasmimg_shim.rpc_status import FailedPrecondition, TaskNotFound
from wasmimg_shim.state import TRANSITIONS, Step, after

CREATED, RUNNING, STOPPED = TaskStatus.CREATED, TaskStatus.RUNNING, TaskStatus.STOPPED


@pytest.mark.parametrize(
    ("status", "step", "then"),
    [
        (CREATED, Step.START, RUNNING),
        (CREATED, Step.EXIT, STOPPED),
        (CREATED, Step.KILL, CREATED),
        (CREATED, Step.DELETE, CREATED),
        (RUNNING, Step.KILL, RUNNING),
        (RUNNING, Step.EXEC, RUNNING),
        (RUNNING, Step.EXIT, STOPPED),
        (STOPPED, Step.DELETE, STOPPED),
    ],
)
def test_what_may_happen(status: TaskStatus, step: Step, then: TaskStatus) -> None:
    assert after(status, step, "c1") is then


@pytest.mark.parametrize(
    ("status", "step", "error", "text"),
    [
        (CREATED, Step.EXEC, FailedPrecondition, "cannot exec in a created process: c1"),
        (RUNNING, Step.START, FailedPrecondition, "cannot start a running process: c1"),
        (RUNNING, Step.DELETE, FailedPrecondition, "cannot delete a running process: c1"),
        (STOPPED, Step.START, FailedPrecondition, "cannot start a stopped process: c1"),
        (STOPPED, Step.EXEC, FailedPrecondition, "cannot exec in a stopped process: c1"),
        (STOPPED, Step.EXIT, FailedPrecondition, "cannot end a stopped process: c1"),
        (STOPPED, Step.KILL, TaskNotFound, "process already finished: c1"),
    ],
)
def test_what_may_not(status: TaskStatus, step: Step, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{text}$"):
        after(status, step, "c1")


def test_the_two_tables_above_are_complete() -> None:
    assert len(TRANSITIONS) + 7 == len(list(itertools.product((CREATED, RUNNING, STOPPED), Step)))


@given(st.lists(st.sampled_from(Step)))
def test_no_history_leads_back_from_the_end(steps: list[Step]) -> None:
    status, seen = CREATED, [CREATED]
    for step in steps:
        if (status, step) in TRANSITIONS:
            status = after(status, step, "c1")
            seen.append(status)
    order = [CREATED, RUNNING, STOPPED]
    assert [order.index(status) for status in seen] == sorted(order.index(s) for s in seen)
