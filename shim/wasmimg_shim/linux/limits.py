"""What a container's resources mean as writes to files of its cgroups. Pure.

Source: runtime-spec, config-linux.md "Control groups"; the kernel's cgroup-v1/*.rst, cgroup-v2.rst.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_shim.spec import DeviceRule, Resources

UNLIMITED = -1
DEFAULT_PERIOD = 100_000


class Write(NamedTuple):
    """A value for a file of a controller's cgroup."""

    controller: str
    file: str
    value: str

    def describe(self) -> str:
        """Say what is set."""
        return f"set {self.file} to {self.value}"


def version_1(resources: Resources) -> tuple[Write, ...]:
    """Plan the limits for the hierarchies of version 1, each write possible after those before."""
    memory, cpu = resources.memory, resources.cpu
    # The limit comes before the one of memory and swap together, which may never be below it.
    wanted = (
        ("memory", "memory.limit_in_bytes", memory.limit),
        ("memory", "memory.memsw.limit_in_bytes", memory.swap),
        ("memory", "memory.soft_limit_in_bytes", memory.reservation),
        ("memory", "memory.swappiness", memory.swappiness),
        ("memory", "memory.oom_control", 1 if memory.disable_oom_killer else None),
        ("cpu", "cpu.shares", cpu.shares or None),
        ("cpu", "cpu.cfs_period_us", cpu.period or None),
        ("cpu", "cpu.cfs_quota_us", cpu.quota or None),
        ("cpuset", "cpuset.cpus", cpu.cpus or None),
        ("cpuset", "cpuset.mems", cpu.mems or None),
        ("pids", "pids.max", _pids(resources.pids_limit)),
        ("blkio", "blkio.weight", resources.blkio_weight or None),
    )
    return (*_writes(wanted), *_device_writes(resources.devices))


def version_2(resources: Resources) -> tuple[Write, ...]:
    """Plan the limits for the single hierarchy of version 2; `unified` entries come last."""
    memory, cpu = resources.memory, resources.cpu
    swap = memory.swap
    if swap is not None and swap != UNLIMITED and memory.limit is not None:
        # version 2 counts swap alone
        swap = max(0, swap - memory.limit)
    wanted = (
        ("memory", "memory.max", _maximum(memory.limit)),
        ("memory", "memory.swap.max", _maximum(swap)),
        ("memory", "memory.low", _maximum(memory.reservation)),
        ("cpu", "cpu.weight", _cpu_weight(cpu.shares) if cpu.shares else None),
        ("cpu", "cpu.max", _cpu_max(cpu.quota, cpu.period)),
        ("cpuset", "cpuset.cpus", cpu.cpus or None),
        ("cpuset", "cpuset.mems", cpu.mems or None),
        ("pids", "pids.max", _pids(resources.pids_limit)),
        ("io", "io.weight", _io_weight(resources.blkio_weight)),
        *((name.partition(".")[0], name, value) for name, value in resources.unified),
    )
    return tuple(_writes(wanted))


def _writes(wanted: tuple[tuple[str, str, int | str | None], ...]) -> Iterator[Write]:
    for controller, file, value in wanted:
        if value is not None:
            yield Write(controller, file, str(value))


def _maximum(value: int | None) -> int | str | None:
    return "max" if value == UNLIMITED else value


def _pids(limit: int | None) -> int | str | None:
    # 0 counts as not given, as runc has it
    if not limit:
        return None
    return "max" if limit < 0 else limit


def _cpu_weight(shares: int) -> int:
    """Map 2..262144 to 1..10000, as runc and crun do."""
    shares = min(max(shares, 2), 262_144)
    return 1 + (shares - 2) * 9999 // 262_142


def _cpu_max(quota: int | None, period: int | None) -> str | None:
    if not quota and not period:
        return None
    limit = str(quota) if quota and quota > 0 else "max"
    return f"{limit} {period or DEFAULT_PERIOD}"


def _io_weight(weight: int | None) -> int | None:
    """Map 10..1000 to 1..10000."""
    return None if not weight else 1 + (min(max(weight, 10), 1000) - 10) * 9999 // 990


def _device_writes(rules: tuple[DeviceRule, ...]) -> Iterator[Write]:
    for rule in rules:
        file = "devices.allow" if rule.allow else "devices.deny"
        major = "*" if rule.major is None else str(rule.major)
        minor = "*" if rule.minor is None else str(rule.minor)
        yield Write("devices", file, f"{rule.type} {major}:{minor} {rule.access}")
    if rules:
        # What every container has (config-linux.md "Default Devices"), and its terminals.
        for number in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "136:*"):
            yield Write("devices", "devices.allow", f"c {number} rwm")
