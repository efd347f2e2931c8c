"""A supervisor when things fail: one container's trouble, and tried again until it works."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import pytest

from wasmimg_compose import starting, teardown, trouble
from wasmimg_compose.container import ContainerSpec, Healthcheck, RestartPolicy
from wasmimg_compose.loop import Loop
from wasmimg_compose.probing import Probing
from wasmimg_compose.record import Record, Records, Stored
from wasmimg_compose.supervision import Door
from wasmimg_compose.supervisor import Supervisor
from wasmimg_compose.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_images.home import Home

pytestmark = pytest.mark.root  # what a container has is looked for where only root may look


def running(home: Home, name: str, **changes: object) -> Record:
    """Record a container whose shim is gone."""
    records = Records.of(home)
    spec = ContainerSpec("demo", project="p")
    record = Record(name * 64, name, spec, Stored("m", "sha256:" + "0" * 64, 1, "p"), 1.0)
    record = record._replace(state="running", wanted="running", started_at=1.0, shim="unix:///no")
    record = record._replace(**changes)  # type: ignore[arg-type]  # the tests name real fields
    records.folder(record.id).mkdir(parents=True)
    return records.save(record)


def supervise(home: Home) -> None:
    """Run a supervisor to its end."""
    door = Door.of(home, "p")
    door.make()
    Supervisor(home, "p", door).run()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FIRST_PAUSE", 0.001)


class FullDisk:
    """Records can't be saved for a number of times; what was tried is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int, state: str = "") -> None:
        self.left, self.tried = times, list[Record]()
        save = Records.save

        def failing(records: Records, record: Record) -> Record:
            self.tried.append(record)
            if self.left and state in {"", record.state}:
                self.left -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            return save(records, record)

        monkeypatch.setattr(Records, "save", failing)


def test_an_end_that_can_not_be_recorded_is_recorded_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records.of(home)
    first, second = running(home, "a"), running(home, "b")
    full = FullDisk(monkeypatch, 3)
    supervise(home)
    assert not full.left
    for record in (first, second):
        found = records.load(record.id)
        assert (found.state, found.exit_code) == ("exited", 137)


def test_a_restart_survives_a_full_disk(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write that a failing start makes fails once, then the start itself, then it is well."""
    policy = RestartPolicy("on-failure", 2)
    record = running(home, "a", spec=ContainerSpec("demo", project="p", restart=policy))
    records, starts = Records.of(home), list[Record]()
    full = FullDisk(monkeypatch, 2)

    def start(_: Home, record: Record, __: object) -> starting.Started:
        starts.append(record)
        records.save(record._replace(state="starting"))
        if len(starts) == 1:
            full.left = 1  # its undoing can't be recorded
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(starting, "start", start)
    supervise(home)
    assert len(starts) == 2
    found = records.load(record.id)
    assert (found.state, found.restarts, found.exit_code) == ("exited", 2, 125)


def test_memory_that_ran_out_is_not_forgotten_between_attempts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = running(home, "a")
    told = iter([True])
    monkeypatch.setattr(teardown, "was_out_of_memory", lambda *_: next(told, False))
    FullDisk(monkeypatch, 1)
    supervise(home)
    assert Records.of(home).load(record.id).out_of_memory


def test_what_can_not_be_looked_after_is_taken_up_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begin, failures = Watched._begin, [ValueError("one"), ValueError("two")]

    def failing(watched: Watched) -> None:
        if watched.record.name == "a" and failures:
            raise failures.pop(0)
        begin(watched)

    monkeypatch.setattr(Watched, "_begin", failing)
    ids = [running(home, name).id for name in "ab"]
    supervise(home)
    assert [Records.of(home).load(each).state for each in ids] == ["exited", "exited"]
    said = capfd.readouterr().err
    assert "ValueError: one" in said
    assert "ValueError: two" in said


def test_what_removes_itself_is_removed_once_it_can_be(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = running(home, "a", spec=ContainerSpec("demo", project="p", auto_remove=True))
    FullDisk(monkeypatch, 2, "removing")
    supervise(home)
    assert not Records.of(home).folder(record.id).exists()


def test_a_log_that_is_full_is_not_in_the_way(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    record = running(home, "a")
    full = FullDisk(monkeypatch, 2)
    with open("/dev/full", "wb") as log:
        monkeypatch.setattr("wasmimg_compose.trouble.LOG", log.fileno())
        supervise(home)
    assert not full.left
    assert Records.of(home).load(record.id).state == "exited"


class Probed:
    """A container whose probes fail at once, and the loop they are made in."""

    def __init__(self, home: Home, check: Healthcheck) -> None:
        self.record = running(home, "a", healthcheck=check, health="starting")
        self.records, self.loop, self.failures = Records.of(home), Loop(), list[Exception]()
        self.share = self.loop.share(self.failures.append)
        self.probing = Probing(home, self.record, check, self.share)

    def turn_until(self, done: Callable[[], bool]) -> None:
        late = threading.Event()
        timer = threading.Timer(30, late.set)
        timer.start()
        while not done():
            self.loop.turn(0.05)
            assert not self.failures
            assert not late.is_set()
        timer.cancel()


def test_probes_that_can_not_begin_leave_the_loop_its_turn(home: Home) -> None:
    """Without a lower bound the first turn would never end."""
    probed = Probed(home, Healthcheck(("CMD", "true"), interval=-5.0, retries=2))
    probed.turn_until(lambda: probed.records.load(probed.record.id).health == "unhealthy")
    probed.probing.close()
    assert not probed.loop.has_alarms
    probed.loop.close()


def test_nothing_is_set_after_the_end(home: Home) -> None:
    probed = Probed(home, Healthcheck(("CMD", "true"), interval=0.1))
    probed.share.close()
    probed.probing._take(passed=False)
    probed.probing.close()
    assert not probed.loop.has_alarms
    probed.loop.close()


def test_a_status_that_can_not_be_recorded_is_recorded_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = Probed(home, Healthcheck(("CMD", "true"), interval=60.0))
    full = FullDisk(monkeypatch, 2)
    probed.probing._take(passed=True)
    probed.turn_until(lambda: probed.records.load(probed.record.id).health == "healthy")
    assert not full.left
    probed.share.close()
    probed.loop.close()
