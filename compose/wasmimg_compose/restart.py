"""When an ended container is started again: a pure rule.

Source: Docker's restart policies; the delay starts at 100 ms, doubles up to a minute, and starts
over after ten seconds of running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmimg_compose.record import Record

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 60.0
#: Running this long counts as a start that worked.
STEADY: Final = 10.0


def is_due(record: Record) -> bool:
    """Tell whether an ended container is to be started again."""
    policy = record.spec.restart
    if record.wanted == "stopped":
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            within = policy.maximum == 0 or record.restarts < policy.maximum
            return record.exit_code != 0 and within
        case "no":
            return False


def is_waiting(record: Record) -> bool:
    """Tell whether it has ended and waits for its next start."""
    return record.state == "exited" and is_due(record)


def is_restarting(record: Record) -> bool:
    """Tell whether it waits for its next start, or is being started again at this moment."""
    return is_waiting(record) or (record.state == "starting" and record.restarts > 0)


def is_up(record: Record) -> bool:
    """Tell whether it runs, or will again without being asked."""
    return record.state == "running" or is_restarting(record)


def delay(record: Record, previous: float) -> float:
    """Tell how many seconds to wait before the next start, `previous` before the last one."""
    if previous <= 0 or record.finished_at - record.started_at >= STEADY:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)
