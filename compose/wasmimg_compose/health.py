"""Whether a container works: when to probe it, and what the answers add up to. A pure rule.

Source: Docker's health checks, with one difference: until a container is healthy for the first
time it is probed at growing steps from a fifth of a second on, so that who waits for it does not
wait for a whole interval. Failures of these extra probes don't count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from wasmimg_compose.container import Healthcheck

FIRST_STEP: Final = 0.2


class Health(NamedTuple):
    """What is known: ages are seconds since the start, `counted` the last failure that counted."""

    status: Literal["starting", "healthy", "unhealthy"] = "starting"
    failures: int = 0
    probes: int = 0
    counted: float = 0.0


def next_delay(check: Healthcheck, health: Health) -> float:
    """Tell how many seconds after the last probe, or the start, the next one is due."""
    if health.status != "starting":
        return check.interval
    return min(check.interval, FIRST_STEP * (1 << min(health.probes, 16)))


def after(check: Healthcheck, health: Health, *, passed: bool, age: float) -> Health:
    """Take one probe's answer in, given at `age`."""
    if passed:
        return Health("healthy", 0, health.probes + 1, age)
    health = health._replace(probes=health.probes + 1)
    # At first only one failure an interval counts, and none while it may still be starting up.
    early = age < check.start_period or age - health.counted < check.interval
    if health.status == "starting" and early:
        return health
    failures = health.failures + 1
    status = "unhealthy" if failures >= check.retries else health.status
    return Health(status, failures, health.probes, age)
