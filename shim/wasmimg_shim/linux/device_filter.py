"""Rules on devices for a cgroup of version 2: a small program of the kernel's, since no file has them.

`program` is pure. As in version 1, for each of reading, writing and making the last rule that
matches decides; what no rule speaks of is as before the first one: allowed.
Source: the kernel's cgroup-v2.rst "Device controller"; linux/bpf.h, struct bpf_cgroup_dev_ctx.
"""

from __future__ import annotations

import os
import struct

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import libc
from wasmimg_shim.spec import DeviceRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: what every container has (config-linux.md "Default Devices"), and its terminals
DEFAULTS = tuple(
    DeviceRule(allow=True, type="c", major=major, minor=minor)
    for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None))
)
#: linux/bpf.h, BPF_DEVCG_*
_ACCESS = {"m": 1, "r": 2, "w": 4}
_TYPES = {"b": 1, "c": 2}
_ALL = 7
#: of a minor number (linux/kdev_t.h)
_HIGHEST = (1 << 20) - 1
#: registers: result, context, what is asked for and not decided yet, type and numbers of the device
_R0, _CONTEXT, _WANTED, _TYPE, _MAJOR, _MINOR = range(6)
_LOAD, _AND, _SHIFT, _COPY, _SET, _JUMP, _EXIT = 0x61, 0x57, 0x77, 0xBF, 0xB7, 0x05, 0x95
_JUMP_UNEQUAL, _JUMP_COMMON = 0x55, 0x45
_REFUSED, _ALLOWED = 0, 1


def _one(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Encode an instruction (linux/bpf.h, struct bpf_insn)."""
    return struct.pack("=BBhi", code, target | source << 4, offset, value)


def program(rules: Iterable[DeviceRule]) -> bytes:
    """Compile rules, the last one first; InvalidInput for one that can't be a rule."""
    parts = [
        _one(_LOAD, _TYPE, _CONTEXT),
        _one(_COPY, _WANTED, _TYPE),
        _one(_AND, _TYPE, value=0xFFFF),
        _one(_SHIFT, _WANTED, value=16),
        _one(_LOAD, _MAJOR, _CONTEXT, 4),
        _one(_LOAD, _MINOR, _CONTEXT, 8),
    ]
    outcome = _ALLOWED
    for rule in reversed(tuple(rules)):
        mask = _mask(rule)
        if rule.type == "a" and mask == _ALL:
            outcome = _ALLOWED if rule.allow else _REFUSED
            break
        parts += _compiled(rule, mask)
    return b"".join((*parts, _one(_SET, _R0, value=outcome), _one(_EXIT)))


def _mask(rule: DeviceRule) -> int:
    if not set(rule.access) <= set(_ACCESS) or (rule.type != "a" and rule.type not in _TYPES):
        raise InvalidInput(f"resources.devices: {rule.type!r} {rule.access!r} is no rule")
    if max(rule.major or 0, rule.minor or 0) > _HIGHEST:
        raise InvalidInput(f"resources.devices: no device has numbers as {rule.major}:{rule.minor}")
    return sum(_ACCESS[letter] for letter in set(rule.access))


def _compiled(rule: DeviceRule, mask: int) -> Iterator[bytes]:
    if rule.allow:
        # What is left to be decided; nothing left: allowed.
        body = [
            _one(_AND, _WANTED, value=~mask),
            _one(_JUMP_UNEQUAL, _WANTED, offset=2),
            _one(_SET, _R0, value=_ALLOWED),
            _one(_EXIT),
        ]
    else:
        body = [
            _one(_JUMP_COMMON, _WANTED, offset=1, value=mask),
            _one(_JUMP, offset=2),
            _one(_SET, _R0, value=_REFUSED),
            _one(_EXIT),
        ]
    wanted = ((_TYPE, _TYPES.get(rule.type)), (_MAJOR, rule.major), (_MINOR, rule.minor))
    tests = [(register, value) for register, value in wanted if value is not None]
    for number, (register, value) in enumerate(tests):
        past = len(tests) - number - 1 + len(body)
        yield _one(_JUMP_UNEQUAL, register, offset=past, value=value)
    yield from body


def attach(folder: str, rules: tuple[DeviceRule, ...]) -> None:
    """Put rules, and what every container has, on a cgroup; they go with it. OSError names it."""
    compiled = program((*rules, *DEFAULTS))
    filter_ = libc.bpf_load(libc.BPF_PROG_TYPE_CGROUP_DEVICE, compiled, folder)
    try:
        target = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            libc.bpf_attach(target, filter_, libc.BPF_CGROUP_DEVICE, folder)
        finally:
            os.close(target)
    finally:
        os.close(filter_)
