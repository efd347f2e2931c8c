from __future__ import annotations

from wasmimg_shim.linux.limits import Write, version_1, version_2
from wasmimg_shim.spec import Cpu, DeviceRule, Memory, Resources

RESOURCES = Resources(
    memory=Memory(limit=1000, reservation=500, swap=1500, swappiness=10),
    cpu=Cpu(shares=1024, quota=50_000, period=100_000, cpus="0-1", mems="0"),
    pids_limit=64,
    blkio_weight=500,
)


def files(writes: tuple[Write, ...]) -> dict[str, str]:
    return {write.file: write.value for write in writes}


def test_nothing_asked_for_writes_nothing() -> None:
    assert version_1(Resources()) == version_2(Resources()) == ()


def test_version_1() -> None:
    assert files(version_1(RESOURCES)) == {
        "memory.limit_in_bytes": "1000",
        "memory.memsw.limit_in_bytes": "1500",
        "memory.soft_limit_in_bytes": "500",
        "memory.swappiness": "10",
        "cpu.shares": "1024",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "pids.max": "64",
        "blkio.weight": "500",
    }


def test_the_memory_limit_comes_before_that_of_memory_and_swap() -> None:
    names = [write.file for write in version_1(RESOURCES)]
    assert names.index("memory.limit_in_bytes") < names.index("memory.memsw.limit_in_bytes")


def test_version_2_counts_swap_alone_and_weighs_otherwise() -> None:
    assert files(version_2(RESOURCES)) == {
        "memory.max": "1000",
        "memory.swap.max": "500",
        "memory.low": "500",
        "cpu.weight": "39",
        "cpu.max": "50000 100000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "pids.max": "64",
        "io.weight": "4950",
    }


def test_no_limit_is_minus_one_or_max() -> None:
    unlimited = Resources(memory=Memory(limit=-1, swap=-1), cpu=Cpu(quota=-1), pids_limit=-1)
    assert files(version_1(unlimited)) == {
        "memory.limit_in_bytes": "-1",
        "memory.memsw.limit_in_bytes": "-1",
        "cpu.cfs_quota_us": "-1",
        "pids.max": "max",
    }
    assert files(version_2(unlimited)) == {
        "memory.max": "max",
        "memory.swap.max": "max",
        "cpu.max": "max 100000",
        "pids.max": "max",
    }


def test_zero_is_as_good_as_nothing() -> None:
    zero = Resources(cpu=Cpu(shares=0, quota=0, period=0), pids_limit=0, blkio_weight=0)
    assert version_1(zero) == version_2(zero) == ()


def test_swap_below_memory_is_no_swap() -> None:
    assert files(version_2(Resources(memory=Memory(limit=10, swap=5))))["memory.swap.max"] == "0"


def test_unified_entries_come_last_and_as_they_are() -> None:
    writes = version_2(Resources(pids_limit=1, unified=(("memory.high", "7"),)))
    assert writes[-1] == Write("memory", "memory.high", "7")


def test_weights_stay_in_their_range() -> None:
    for shares, weight in ((2, "1"), (1, "1"), (262_144, "10000"), (1 << 40, "10000")):
        assert files(version_2(Resources(cpu=Cpu(shares=shares))))["cpu.weight"] == weight


def test_devices_are_denied_before_they_are_allowed() -> None:
    rules = (DeviceRule(allow=False), DeviceRule(True, "c", 10, None, "rw"))
    writes = [write.describe() for write in version_1(Resources(devices=rules))]
    assert writes[0] == "set devices.deny to a *:* rwm"
    assert writes[1] == "set devices.allow to c 10:* rw"
    assert "set devices.allow to c 1:3 rwm" in writes
