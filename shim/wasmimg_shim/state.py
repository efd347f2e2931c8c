"""The life of a container or an exec, as a table.

Rule of this file: who asks for a step that the table doesn't have gets the one sentence that says
why not, with the code that containerd's own shim would give.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from wasmimg_shim.messages import TaskStatus
from wasmimg_shim.rpc_status import FailedPrecondition, TaskNotFound

if TYPE_CHECKING:
    from wasmimg_images.errors import WasmimgError


class Step(enum.Enum):
    """What may happen to a process; the value is how to say it."""

    START = "start"
    KILL = "kill"
    EXEC = "exec in"
    EXIT = "end"
    DELETE = "delete"


_C, _R, _S = TaskStatus.CREATED, TaskStatus.RUNNING, TaskStatus.STOPPED

TRANSITIONS: dict[tuple[TaskStatus, Step], TaskStatus] = {
    (_C, Step.START): _R,
    (_C, Step.KILL): _C,
    # Killed before its start, or by the kernel.
    (_C, Step.EXIT): _S,
    # A client that gave up before Start deletes without killing: containerd lets it.
    (_C, Step.DELETE): _C,
    (_R, Step.KILL): _R,
    (_R, Step.EXEC): _R,
    (_R, Step.EXIT): _S,
    (_S, Step.DELETE): _S,
}


def after(status: TaskStatus, step: Step, name: str) -> TaskStatus:
    """Return the status after a step; raises FailedPrecondition or TaskNotFound."""
    try:
        return TRANSITIONS[status, step]
    except KeyError:
        raise _refusal(status, step, name) from None


def _refusal(status: TaskStatus, step: Step, name: str) -> WasmimgError:
    if step is Step.KILL:
        return TaskNotFound(f"process already finished: {name}")
    word = status.name.lower()
    return FailedPrecondition(f"cannot {step.value} a {word} process: {name}")
