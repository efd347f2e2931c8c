"""Resource limits by their names in the specification (getrlimit(2))."""

from __future__ import annotations

import resource

from wasmimg_images.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.spec import Rlimit

NUMBERS = {
    "RLIMIT_AS": resource.RLIMIT_AS,
    "RLIMIT_CORE": resource.RLIMIT_CORE,
    "RLIMIT_CPU": resource.RLIMIT_CPU,
    "RLIMIT_DATA": resource.RLIMIT_DATA,
    "RLIMIT_FSIZE": resource.RLIMIT_FSIZE,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_MEMLOCK": resource.RLIMIT_MEMLOCK,
    "RLIMIT_MSGQUEUE": resource.RLIMIT_MSGQUEUE,
    "RLIMIT_NICE": resource.RLIMIT_NICE,
    "RLIMIT_NOFILE": resource.RLIMIT_NOFILE,
    "RLIMIT_NPROC": resource.RLIMIT_NPROC,
    "RLIMIT_RSS": resource.RLIMIT_RSS,
    "RLIMIT_RTPRIO": resource.RLIMIT_RTPRIO,
    "RLIMIT_RTTIME": resource.RLIMIT_RTTIME,
    "RLIMIT_SIGPENDING": resource.RLIMIT_SIGPENDING,
    "RLIMIT_STACK": resource.RLIMIT_STACK,
}
INFINITY = (1 << 64) - 1


def plan(limits: tuple[Rlimit, ...]) -> tuple[tuple[str, int, int], ...]:
    """Check the limits; "no limit" is -1 or 2^64-1 in bundles. InvalidInput for unknown names."""
    checked: list[tuple[str, int, int]] = []
    for kind, soft, hard in limits:
        if kind not in NUMBERS:
            raise InvalidInput(f"rlimit {kind!r} is unknown")
        if any(kind == other for other, _, _ in checked):
            raise InvalidInput(f"rlimit {kind!r} is given twice")
        checked.append((kind, _number(soft), _number(hard)))
    return tuple(checked)


def apply(kind: str, soft: int, hard: int) -> None:
    """Set one limit; an OSError names it (EPERM: above the host's hard limit)."""
    try:
        resource.setrlimit(NUMBERS[kind], (soft, hard))
    except ValueError:
        # Python reports the kernel's EPERM for a raised hard limit, and EINVAL, like this
        raise OSError(1, f"the host allows no {kind} of {soft} soft, {hard} hard") from None


def _number(value: int) -> int:
    if value in {-1, INFINITY}:
        return resource.RLIM_INFINITY
    return value if value < 1 << 63 else resource.RLIM_INFINITY
