"""Limits as properties of a unit, as systemd.resource-control(5) has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.spec import Cpu, DeviceRule, Memory, Resources
from wasmimg_shim.systemd import properties

NAMES = properties.drivers(
    "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n 65 sd\n"
)


def of(resources: Resources, *, unified: bool = True) -> dict[str, object]:
    return {p.name: p.value for p in properties.of(resources, NAMES, unified=unified)}


def test_nothing_asked_for_is_nothing_set() -> None:
    assert of(Resources()) == {}
    assert of(Resources(), unified=False) == {}


def test_limits_of_version_2() -> None:
    memory = Memory(limit=64 << 20, reservation=32 << 20, swap=96 << 20)
    cpu = Cpu(shares=77, quota=50_000, period=100_000, cpus="0-2,8", mems="0")
    found = of(Resources(memory=memory, cpu=cpu, pids_limit=20, blkio_weight=500))
    assert found == {
        "MemoryMax": 64 << 20,
        "MemorySwapMax": 32 << 20,
        "MemoryLow": 32 << 20,
        "CPUWeight": 3,
        "CPUQuotaPerSecUSec": 500_000,
        "CPUQuotaPeriodUSec": 100_000,
        "AllowedCPUs": b"\x07\x01",
        "AllowedMemoryNodes": b"\x01",
        "TasksMax": 20,
        "IOWeight": 4950,
    }


def test_limits_of_version_1() -> None:
    resources = Resources(
        memory=Memory(limit=64 << 20), cpu=Cpu(shares=77, quota=-1), pids_limit=-1
    )
    assert of(resources, unified=False) == {
        "MemoryLimit": 64 << 20,
        "CPUShares": 77,
        "TasksMax": properties.INFINITY,
        "CPUQuotaPerSecUSec": properties.INFINITY,
        "CPUQuotaPeriodUSec": 100_000,
    }


def test_files_that_are_named_become_properties_where_there_are_any() -> None:
    unified = (("memory.high", "1048576"), ("memory.oom.group", "1"), ("pids.max", "max"))
    assert of(Resources(unified=unified)) == {
        "MemoryHigh": 1 << 20,
        "TasksMax": properties.INFINITY,
    }


@given(quota=st.integers(1_000, 10_000_000), period=st.integers(1_000, 1_000_000))
def test_a_share_is_never_less_than_asked_for(quota: int, period: int) -> None:
    share = of(Resources(cpu=Cpu(quota=quota, period=period)))["CPUQuotaPerSecUSec"]
    assert isinstance(share, int)
    assert share % 10_000 == 0
    assert 0 <= share - quota * 1_000_000 / period < 10_000


@given(st.sets(st.integers(0, 1000), min_size=1))
def test_a_mask_has_the_bits_of_the_list(numbers: set[int]) -> None:
    mask = of(Resources(cpu=Cpu(cpus=",".join(map(str, numbers)))))["AllowedCPUs"]
    assert isinstance(mask, bytes)
    assert {n for n in range(len(mask) * 8) if mask[n // 8] >> n % 8 & 1} == numbers


@pytest.mark.parametrize("cpus", ["x", "1-", "3-1", "1,,2", "99999", "-1"])
def test_a_malformed_list_is_refused(cpus: str) -> None:
    with pytest.raises(InvalidInput, match="no list"):
        of(Resources(cpu=Cpu(cpus=cpus)))


@pytest.mark.parametrize("file", ["memory.max", "cpu.max"])
def test_a_value_that_is_no_number_is_refused(file: str) -> None:
    with pytest.raises(InvalidInput, match=file):
        of(Resources(unified=((file, "much"),)))


def test_dockers_rules_on_devices() -> None:
    rules = (
        DeviceRule(allow=False),
        DeviceRule(allow=True, type="c", access="m"),
        DeviceRule(allow=True, type="b", access="m"),
        DeviceRule(allow=True, type="c", major=10, minor=200),
        DeviceRule(allow=True, type="b", major=65, access="r"),
        DeviceRule(allow=True, type="c", major=99),
        DeviceRule(allow=True, type="c", major=7, minor=1),
        DeviceRule(allow=False, type="c", major=7, minor=1),
    )
    found = of(Resources(devices=rules))
    allowed = found["DeviceAllow"]
    assert found["DevicePolicy"] == "strict"
    assert isinstance(allowed, list)
    defaults = [f"/dev/char/{n}" for n in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2")]
    assert allowed == [
        ("char-*", "m"),
        ("block-*", "m"),
        ("/dev/char/10:200", "rwm"),
        ("block-sd", "r"),
        *((name, "rwm") for name in (*defaults, "char-pts")),
    ]


def test_everything_allowed() -> None:
    found = of(Resources(devices=(DeviceRule(allow=False), DeviceRule(allow=True))))
    assert found == {"DevicePolicy": "auto", "DeviceAllow": []}


@pytest.mark.parametrize(
    "rules",
    [
        (DeviceRule(allow=True), DeviceRule(allow=False, type="c", major=1, minor=3)),
        (DeviceRule(allow=False), DeviceRule(allow=True, type="u", major=1)),
        (DeviceRule(allow=False), DeviceRule(allow=True, type="c", minor=1)),
    ],
)
def test_what_systemd_has_no_words_for_is_refused(rules: tuple[DeviceRule, ...]) -> None:
    with pytest.raises(InvalidInput, match="devices"):
        of(Resources(devices=rules))
