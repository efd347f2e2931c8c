"""The program decides as the rules say, by a model of the rules and a machine for the program."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux.device_filter import program
from wasmimg_shim.spec import DeviceRule

BITS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}
NUMBERS = st.none() | st.integers(0, 3)
RULES = st.lists(
    st.builds(
        DeviceRule,
        allow=st.booleans(),
        type=st.sampled_from("abc"),
        major=NUMBERS,
        minor=NUMBERS,
        access=st.sampled_from(("r", "w", "m", "rw", "rm", "wm", "rwm")),
    ),
    max_size=6,
)
Device = tuple[str, int, int]
JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x05: lambda _have, _value: True,
    0x45: lambda have, value: bool(have & value),
    0x55: operator.ne,
}
COMPUTED: dict[int, Callable[[int, int], int]] = {
    0x57: lambda have, value: have & value & 0xFFFFFFFFFFFFFFFF,
    0x77: operator.rshift,
    0xB7: lambda _have, value: value,
}


def run(code: bytes, device: Device, access: int) -> int:
    """Run a program (Documentation/bpf/standardization/instruction-set.rst), these operations only."""
    kind, major, minor = device
    context = {0: access << 16 | TYPES[kind], 4: major, 8: minor}
    registers = dict.fromkeys(range(11), 0)
    at = 0
    while True:
        operation, both, offset, value = struct.unpack_from("=BBhi", code, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        if operation == 0x95:
            return registers[0]
        if operation in JUMPS:
            at += offset * JUMPS[operation](registers[target], value)
        elif operation == 0x61:
            registers[target] = context[offset]
        elif operation == 0xBF:
            registers[target] = registers[source]
        else:
            registers[target] = COMPUTED[operation](registers[target], value)


def allowed(rules: list[DeviceRule], device: Device, bit: int) -> bool:
    answer = True
    for rule in rules:
        same = (
            (rule.type in {"a", device[0]})
            and rule.major in {None, device[1]}
            and rule.minor in {None, device[2]}
        )
        if rule.type == "a" and rule.access == "rwm":
            same = True
        if same and any(BITS[letter] == bit for letter in rule.access):
            answer = rule.allow
    return answer


@given(
    rules=RULES,
    device=st.tuples(st.sampled_from("bc"), st.integers(0, 3), st.integers(0, 3)),
    access=st.integers(1, 7),
)
def test_the_last_rule_decides(rules: list[DeviceRule], device: Device, access: int) -> None:
    expected = all(allowed(rules, device, bit) for bit in (1, 2, 4) if access & bit)
    assert run(program(rules), device, access) == expected


@pytest.mark.parametrize(
    "rule",
    [
        DeviceRule(allow=True, type="x"),
        DeviceRule(allow=True, type="c", access="z"),
        DeviceRule(allow=True, type="c", major=1, minor=1 << 20),
    ],
)
def test_what_is_no_rule_is_refused(rule: DeviceRule) -> None:
    with pytest.raises(InvalidInput, match=r"resources\.devices"):
        program([rule])
