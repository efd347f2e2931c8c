"""A container's limits as properties of its scope. Pure.

What is only written into a scope's files is systemd's to overwrite, which it does when it reloads:
so whatever has a property is given as one. Source: systemd.resource-control(5).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wasmimg_shim.linux.limits import Write
    from wasmimg_shim.spec import DeviceRule, Resources

INFINITY = (1 << 64) - 1
#: files whose one number, or "max", is the value of a property
_NUMBERS = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "cpu.weight": "CPUWeight",
    "io.weight": "IOWeight",
    "pids.max": "TasksMax",
    # version 1
    "memory.limit_in_bytes": "MemoryLimit",
    "cpu.shares": "CPUShares",
    "blkio.weight": "BlockIOWeight",
}
_SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
#: more processors than any kernel knows
LARGEST_SET = 1 << 13
#: systemd counts in whole hundredths of a processor
_GRAIN = 10_000
_SECOND = 1_000_000
#: what every container has (config-linux.md "Default Devices"), and its terminals
_NUMBERED = ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2")
_DEFAULT_DEVICES = (*(f"/dev/char/{number}" for number in _NUMBERED), "char-pts")


class Property(NamedTuple):
    """A property of a unit with its D-Bus type."""

    name: str
    signature: str
    value: object

    def describe(self) -> str:
        """Say what is set."""
        return f"set {self.name} to {self.value}"


def of(resources: Resources, names: Mapping[str, str], *, unified: bool) -> tuple[Property, ...]:
    """Word limits as properties, for version 2 or for version 1; `names` are `drivers`.

    Raises InvalidInput for rules on devices that systemd has no words for.
    """
    plan = limits.version_2 if unified else limits.version_1
    found = [one for write in plan(resources) for one in _of_write(write)]
    if not unified:
        found += _quota(resources.cpu.quota, resources.cpu.period)
    return (*found, *_devices(resources.devices, names))


def _of_write(write: Write) -> Iterator[Property]:
    name = _NUMBERS.get(write.file)
    if name is not None:
        yield Property(name, "t", _number(write))
    elif write.file in _SETS:
        yield Property(_SETS[write.file], "ay", _bits(write.value))
    elif write.file == "cpu.max":
        quota, _, period = write.value.partition(" ")
        yield from _quota(
            limits.UNLIMITED if quota == "max" else _whole(write, quota),
            _whole(write, period or str(limits.DEFAULT_PERIOD)),
        )


def _number(write: Write) -> int:
    if write.value in {"max", "-1"}:
        return INFINITY
    return _whole(write, write.value)


def _whole(write: Write, text: str) -> int:
    if not text.isdecimal() or int(text) > INFINITY:
        raise InvalidInput(f"resources: {write.file} cannot be {write.value!r}")
    return int(text)


def _quota(quota: int | None, period: int | None) -> Iterator[Property]:
    if not quota and not period:
        return
    period = period or limits.DEFAULT_PERIOD
    share = INFINITY
    if quota and quota > 0:
        share = math.ceil(quota * _SECOND / period / _GRAIN) * _GRAIN
    yield Property("CPUQuotaPerSecUSec", "t", share)
    yield Property("CPUQuotaPeriodUSec", "t", period)


def _bits(text: str) -> bytes:
    """Turn a list such as 0-2,7 into a bit mask, the lowest byte first (cpuset(7))."""
    mask = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < LARGEST_SET):
            raise InvalidInput(f"resources: {text!r} is no list of processors or memory nodes")
        mask |= (1 << int(last) + 1) - (1 << int(first))
    return mask.to_bytes(mask.bit_length() // 8 + 1, "little")


def drivers(text: str) -> dict[str, str]:
    """Read /proc/devices: kind and major number, as `char 136`, to systemd's name, `char-pts`."""
    found: dict[str, str] = {}
    kind = ""
    for line in text.splitlines():
        words = line.split()
        if line.endswith("devices:"):
            kind = "char" if words[0] == "Character" else "block"
        elif len(words) == 2:  # noqa: PLR2004 - number and name
            found.setdefault(f"{kind} {words[0]}", f"{kind}-{words[1]}")
    return found


def _devices(rules: tuple[DeviceRule, ...], names: Mapping[str, str]) -> Iterator[Property]:
    """Allow what the rules leave allowed after the last one that speaks of every device."""
    if not rules:
        return
    strict = False
    allowed: dict[str, str] = {}
    for rule in rules:
        if rule.type == "a":
            strict = not rule.allow
            allowed.clear()
            continue
        if not strict and not rule.allow:
            raise InvalidInput(
                "resources.devices: systemd cannot deny single devices where others are allowed",
                hint="deny all of them first, or use the cgroupfs driver",
            )
        name = _device(rule, names)
        if strict and name:
            allowed[name] = rule.access
            if not rule.allow:
                del allowed[name]
    if strict:
        allowed |= dict.fromkeys(_DEFAULT_DEVICES, "rwm")
    yield Property("DevicePolicy", "s", "strict" if strict else "auto")
    yield Property("DeviceAllow", "a(ss)", [*allowed.items()])


def _device(rule: DeviceRule, names: Mapping[str, str]) -> str:
    """Name what a rule is about; nothing where no driver has such devices."""
    kind = {"c": "char", "b": "block"}.get(rule.type)
    if kind is None or (rule.major is None and rule.minor is not None):
        raise InvalidInput(f"resources.devices: {rule.type!r} and {rule.minor} name no device")
    if rule.major is None:
        return f"{kind}-*"
    if rule.minor is not None:
        return f"/dev/{kind}/{rule.major}:{rule.minor}"
    return names.get(f"{kind} {rule.major}", "")
