"""Whether a container works: when to probe it, and what the answers add up to. A pure rule.

Source: Docker's health checks, with one difference: until a container is healthy for the first
time it is probed at growing steps from a fifth of a second on, so that who waits for it does not
wait for a whole interval. Failures of these extra probes don't count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from wasmimg_compose.container import Healthcheck

FIRST_STEP: Final = 0.2
#: Docker's bounds of a time in seconds: a millisecond, and what 64 bits of nanoseconds hold.
SHORTEST: Final = 0.001
LONGEST: Final = 9.2e9
#: Seconds between two probes whatever was asked for: their supervisor has others to look after.
LEAST_PAUSE: Final = 0.1


class Health(NamedTuple):
    """What is known: ages are seconds since the start, `counted` the last failure that counted."""

    status: Literal["starting", "healthy", "unhealthy"] = "starting"
    failures: int = 0
    probes: int = 0
    counted: float = 0.0


def period(asked: float, preset: float) -> float:
    """Take an interval, timeout or start period in seconds, 0 for the preset; InvalidInput."""
    if not asked:
        return preset
    if not SHORTEST <= asked <= LONGEST:
        raise InvalidInput(
            f"{asked:g} s is no time for a health check",
            hint="1ms at least, or 0 for the default",
        )
    return asked


def retries(asked: int, preset: int) -> int:
    """Take the failures in a row that make a container unhealthy, 0 for the preset; InvalidInput."""
    if asked < 0:
        raise InvalidInput(f"{asked} retries of a health check: can't be negative")
    return asked or preset


def next_delay(check: Healthcheck, health: Health) -> float:
    """Tell how many seconds after the last probe, or the start, the next one is due."""
    interval = max(check.interval, LEAST_PAUSE)
    if health.status != "starting":
        return interval
    return min(interval, FIRST_STEP * (1 << min(health.probes, 16)))


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
