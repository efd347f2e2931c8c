from pathlib import Path
from typing import NamedTuple

import pytest

from wasmimg_compose import deploy
from wasmimg_compose.container import ContainerSpec, Healthcheck
from wasmimg_compose.lifecycle import Condition
from wasmimg_compose.model import Network, Project, Volume
from wasmimg_compose.project import load
from wasmimg_compose.reconcile import plan_up, stop_order, unchanged
from wasmimg_compose.record import Record, Stored
from wasmimg_images.errors import RunError


class Machine:
    """A host in memory: containers run at once; `sick` ones never turn healthy."""

    def __init__(self, sick: tuple[str, ...] = (), codes: dict[str, int] | None = None) -> None:
        self.calls: list[str] = []
        self.records: dict[str, Record] = {}
        self.networks: set[str] = set()
        self.volumes: set[str] = set()
        self.sick = sick
        self.codes = codes or {}

    def ensure_network(self, network: Network) -> bool:
        new = network.name not in self.networks
        self.networks.add(network.name)
        return new

    def remove_network(self, network: Network) -> bool:
        assert not self.records
        found = network.name in self.networks
        self.networks.discard(network.name)
        return found

    def ensure_volume(self, volume: Volume) -> bool:
        new = volume.name not in self.volumes
        self.volumes.add(volume.name)
        return new

    def remove_volume(self, volume: Volume) -> bool:
        found = volume.name in self.volumes
        self.volumes.discard(volume.name)
        return found

    def containers(self, project: str) -> list[Record]:
        return [record for record in self.records.values() if record.spec.project == project]

    def create(self, spec: ContainerSpec) -> Record:
        name = str(spec.name)
        assert name not in self.records
        self.calls.append(f"create {name}")
        self.records[name] = Record(name, name, spec, Stored("m", "sha256:1", 1, "wasi/wasm"), 0.0)
        return self.records[name]

    def start(self, name: str) -> Record:
        self.calls.append(f"start {name}")
        self.records[name] = self.records[name]._replace(state="running")
        return self.records[name]

    def stop(self, name: str, grace: float | None) -> Record:
        self.calls.append(f"stop {name}")
        self.records[name] = self.records[name]._replace(state="exited")
        return self.records[name]

    def remove(self, name: str, *, volumes: bool) -> None:
        assert self.records.pop(name).state == "exited"
        self.calls.append(f"remove {name}")

    def wait_for(self, name: str, condition: Condition, timeout: float | None) -> Record:
        self.calls.append(f"wait {name} {condition.value}")
        if condition is Condition.HEALTHY and self.records[name].state == "exited":
            raise RunError(f"container {name} ended")
        if name in self.sick:
            raise RunError(f"container {name} is unhealthy")
        return self.records[name]._replace(exit_code=self.codes.get(name, 0))


class Line(NamedTuple):
    kind: str
    name: str
    what: str


def project(tmp_path: Path, condition: str, required: str = "true") -> Project:
    path = tmp_path / "compose.yaml"
    path.write_text(
        "services:\n"
        f"  web: {{image: w, depends_on: {{db: {{condition: {condition}, required: {required}}}}}}}\n"
        "  db: {image: db, volumes: ['data:/d']}\nvolumes: {data: {}}\n"
    )
    return load(path, {}, name="shop")


def bring_up(of: Project, machine: Machine) -> list[Line]:
    lines: list[Line] = []
    plan = plan_up(of, machine.containers("shop"), {})
    deploy.run(plan, machine, lambda *line: lines.append(Line(*line)))
    return lines


def test_a_dependent_waits_until_what_it_needs_is_healthy(tmp_path: Path) -> None:
    machine = Machine()
    lines = bring_up(project(tmp_path, "service_healthy"), machine)
    assert machine.calls == [
        "create shop-db-1", "start shop-db-1", "create shop-web-1",
        "wait shop-db-1 healthy", "start shop-web-1",
    ]  # fmt: skip
    assert Line("Container", "shop-db-1", "Healthy") in lines
    assert lines[0] == Line("Network", "shop_default", "Created")


def test_a_sick_dependency_stops_the_rest_and_is_named(tmp_path: Path) -> None:
    machine = Machine(sick=("shop-db-1",))
    with pytest.raises(RunError, match="dependency failed to start: container shop-db-1"):
        bring_up(project(tmp_path, "service_healthy"), machine)
    assert "start shop-web-1" not in machine.calls


def test_a_dependency_that_is_not_required_may_fail(tmp_path: Path) -> None:
    machine = Machine(sick=("shop-db-1",))
    bring_up(project(tmp_path, "service_healthy", "false"), machine)
    assert machine.calls[-1] == "start shop-web-1"


def test_a_dependency_must_end_well_where_that_is_asked(tmp_path: Path) -> None:
    bring_up(project(tmp_path, "service_completed_successfully"), Machine())
    with pytest.raises(RunError, match="exit code 3"):
        bring_up(
            project(tmp_path, "service_completed_successfully"), Machine(codes={"shop-db-1": 3})
        )


def test_a_second_up_does_nothing(tmp_path: Path) -> None:
    machine = Machine()
    shop = project(tmp_path, "service_started")
    bring_up(shop, machine)
    machine.calls.clear()
    assert bring_up(shop, machine) == []
    assert machine.calls == []


def test_taking_down_leaves_volumes_unless_asked(tmp_path: Path) -> None:
    machine = Machine()
    shop = project(tmp_path, "service_started")
    bring_up(shop, machine)
    machine.calls.clear()
    deploy.take_down(shop, machine, lambda *_: None)
    assert machine.calls == [
        "stop shop-web-1", "remove shop-web-1", "stop shop-db-1", "remove shop-db-1"
    ]  # fmt: skip
    assert (machine.networks, machine.volumes) == (set(), {"shop_data"})
    bring_up(shop, machine)
    deploy.take_down(shop, machine, lambda *_: None, volumes=True)
    assert machine.volumes == set()


def test_stopping_and_starting_again_keep_the_order(tmp_path: Path) -> None:
    machine, shop = Machine(), project(tmp_path, "service_started")
    bring_up(shop, machine)
    machine.calls.clear()
    lines: list[Line] = []
    groups = stop_order(shop, machine.containers("shop"))
    deploy.stop(groups, machine, lambda *line: lines.append(Line(*line)), None)
    groups = stop_order(shop, machine.containers("shop"))[::-1]
    for _ in range(2):
        deploy.start_again(groups, machine, lambda *line: lines.append(Line(*line)))
        groups = stop_order(shop, machine.containers("shop"))[::-1]
    assert machine.calls == [
        "stop shop-web-1", "stop shop-db-1", "start shop-db-1", "start shop-web-1",
    ]  # fmt: skip
    assert [line.what for line in lines if line.name == "shop-db-1"] == [
        "Stopping", "Stopped", "Started",
    ]  # fmt: skip


@pytest.mark.parametrize(("code", "word"), [(0, "Exited"), (3, None)])
def test_waiting_for_a_service_that_has_done_its_work(
    tmp_path: Path, code: int, word: str | None
) -> None:
    machine, shop = Machine(codes={"shop-db-1": code}), project(tmp_path, "service_started")
    bring_up(shop, machine)
    machine.stop("shop-db-1", None)
    check = Healthcheck(("CMD", "true"))
    machine.records["shop-web-1"] = machine.records["shop-web-1"]._replace(
        health="healthy", healthcheck=check
    )
    lines: list[Line] = []

    def wait() -> None:
        found = machine.containers("shop")
        deploy.await_all(found, machine, lambda *line: lines.append(Line(*line)))

    if word is None:
        with pytest.raises(RunError, match="container shop-db-1 ended"):
            wait()
        return
    wait()
    words = {line.name: line.what for line in lines if line.what != "Waiting"}
    assert words == {"shop-db-1": word, "shop-web-1": "Healthy"}


def test_what_runs_and_has_not_changed_is_named(tmp_path: Path) -> None:
    machine, shop = Machine(), project(tmp_path, "service_started")
    bring_up(shop, machine)
    services = ("web", "db")

    def left_alone() -> list[str]:
        existing = machine.containers("shop")
        return unchanged(existing, services, plan_up(shop, existing, {}))

    assert left_alone() == ["shop-db-1", "shop-web-1"]
    machine.stop("shop-web-1", None)
    assert left_alone() == ["shop-db-1"]
