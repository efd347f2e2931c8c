"""Restart and health: the two rules that a supervisor goes by, and its alarms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose import health, restart
from wasmimg_compose.alarms import Alarms
from wasmimg_compose.container import ContainerSpec, Healthcheck, RestartPolicy
from wasmimg_compose.health import Health
from wasmimg_compose.record import Record, Stored
from wasmimg_images.errors import InvalidInput

CHECK = Healthcheck(("CMD", "true"), interval=10, retries=2, start_period=5)


def ended(policy: RestartPolicy, code: int, **changes: object) -> Record:
    record = Record(
        "id",
        "web",
        ContainerSpec("demo", restart=policy),
        Stored("m", "d", 1, "p"),
        1.0,
        state="exited",
        wanted="running",
        exit_code=code,
    )
    return record._replace(**changes)  # type: ignore[arg-type]  # the tests name real fields


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "due"),
    [
        (RestartPolicy("no"), 1, 0, False),
        (RestartPolicy("always"), 0, 9, True),
        (RestartPolicy("unless-stopped"), 137, 0, True),
        (RestartPolicy("on-failure"), 0, 0, False),
        (RestartPolicy("on-failure"), 1, 99, True),
        (RestartPolicy("on-failure", 3), 1, 2, True),
        (RestartPolicy("on-failure", 3), 1, 3, False),
    ],
)
def test_the_policy_decides(policy: RestartPolicy, code: int, restarts: int, due: bool) -> None:
    record = ended(policy, code, restarts=restarts)
    assert restart.is_due(record) is due
    assert not restart.is_due(record._replace(wanted="stopped"))


def test_the_delay_doubles_up_to_a_minute_and_starts_over() -> None:
    record = ended(RestartPolicy("always"), 1, started_at=0.0, finished_at=1.0)
    delays = [0.0]
    for _ in range(12):
        delays.append(restart.delay(record, delays[-1]))
    assert delays[1:4] == [0.1, 0.2, 0.4]
    assert delays[-1] == 60.0
    assert restart.delay(record._replace(finished_at=11.0), 60.0) == 0.1


def test_a_starting_container_is_probed_soon_and_often() -> None:
    assert health.next_delay(CHECK, Health()) == 0.2
    assert health.next_delay(CHECK, Health(probes=2)) == 0.8
    assert health.next_delay(CHECK, Health(probes=60)) == 10
    assert health.next_delay(CHECK, Health("healthy", probes=1)) == 10


def test_probes_leave_time_for_others() -> None:
    often = CHECK._replace(interval=0.0)
    assert health.next_delay(often, Health()) == health.LEAST_PAUSE
    assert health.next_delay(often, Health("unhealthy", probes=1)) == health.LEAST_PAUSE


def test_times_of_a_health_check() -> None:
    assert health.period(0, 30) == 30
    assert health.period(0.001, 30) == 0.001
    for wrong in (0.0009, -5e-9, -1, 1e10, float("inf"), float("nan")):
        with pytest.raises(InvalidInput, match="is no time for a health check"):
            health.period(wrong, 30)
    assert (health.retries(0, 3), health.retries(1, 3)) == (3, 1)
    with pytest.raises(InvalidInput, match="-1 retries"):
        health.retries(-1, 3)


def test_early_failures_do_not_count() -> None:
    found = health.after(CHECK, Health(), passed=False, age=0.2)
    assert (found.status, found.failures) == ("starting", 0)
    found = health.after(CHECK, found, passed=False, age=10.5)
    assert (found.status, found.failures) == ("starting", 1)
    found = health.after(CHECK, found, passed=False, age=12)
    assert found.failures == 1
    found = health.after(CHECK, found, passed=False, age=20.5)
    assert found.status == "unhealthy"
    assert health.after(CHECK, found, passed=True, age=30).status == "healthy"


def test_a_healthy_container_turns_unhealthy_after_its_retries() -> None:
    found = health.after(CHECK, Health(), passed=True, age=0.2)
    found = health.after(CHECK, found, passed=False, age=10)
    assert found.status == "healthy"
    assert health.after(CHECK, found, passed=False, age=20).status == "unhealthy"


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 60)), max_size=40))
def test_unhealthy_takes_as_many_failures_in_a_row_as_retries(
    probes: list[tuple[bool, float]],
) -> None:
    found, age, row = Health(), 0.0, 0
    for passed, pause in probes:
        age += pause
        found = health.after(CHECK, found, passed=passed, age=age)
        row = 0 if passed else row + 1
        assert found.failures <= row
        if passed:
            assert found.status == "healthy"
        if found.status == "unhealthy":
            assert row >= CHECK.retries


def test_alarms_ring_in_order_and_once() -> None:
    now, rung = [0.0], list[str]()
    alarms = Alarms(lambda: now[0])
    alarms.set(2, lambda: rung.append("two"))
    first = alarms.set(1, lambda: rung.append("one"))
    never = alarms.set(1.5, lambda: rung.append("never"))
    alarms.cancel(never)
    assert alarms.until_next() == 1
    now[0] = 3.0
    alarms.ring()
    alarms.cancel(first)
    assert rung == ["one", "two"]
    assert alarms.until_next() is None


@pytest.mark.parametrize("delay", [0.0, -1.0])
def test_an_alarm_that_sets_itself_again_rings_once_a_time(delay: float) -> None:
    rung: list[int] = []
    alarms = Alarms(lambda: 5.0)

    def again() -> None:
        rung.append(len(rung))
        alarms.set(delay, again)

    alarms.set(delay, again)
    alarms.set(delay, lambda: rung.append(-1))
    alarms.ring()
    assert rung == [0, -1]
    assert alarms.until_next() == 0
    alarms.ring()
    assert rung == [0, -1, 2]


def test_an_alarm_that_another_one_cancels_does_not_ring() -> None:
    now, rung = [0.0], list[str]()
    alarms = Alarms(lambda: now[0])
    alarms.set(1, lambda: alarms.cancel(second))
    second = alarms.set(2, lambda: rung.append("second"))
    now[0] = 3.0
    alarms.ring()
    assert rung == []
