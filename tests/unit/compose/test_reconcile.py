from pathlib import Path

import pytest

from wasmimg_compose.model import Project
from wasmimg_compose.project import load
from wasmimg_compose.reconcile import (
    Operation,
    chosen,
    label,
    plan_up,
    stop_order,
    wanted_specs,
)
from wasmimg_compose.record import Record, State, Stored
from wasmimg_images.errors import InvalidInput

FILE = """
services:
  web: {image: web, depends_on: {api: {condition: service_healthy}}}
  api: {image: api, depends_on: [db], networks: [back], volumes: ['data:/d']}
  db: {image: db, networks: [back]}
  extra: {image: extra, profiles: [debug]}
networks: {back: {}, unused: {}}
volumes: {data: {}, idle: {}}
"""


def project(tmp_path: Path, text: str = FILE) -> Project:
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    return load(path, {}, name="shop")


def records(of: Project, state: State = "running") -> list[Record]:
    return [
        Record(f"{number:064x}", str(spec.name), spec, Stored("application/vnd.oci.image.manifest.v1+json", "sha256:1", 1, "wasi/wasm"), float(number), state)
        for number, (_, spec) in enumerate(
            (name, spec) for name, service in of.services.items() if not service.profiles
            for spec in wanted_specs(of, service)
        )
    ]  # fmt: skip


def words(plan: list[Operation]) -> list[str]:
    return [operation.describe() for operation in plan]


def test_a_first_up_makes_all_in_the_order_of_needs(tmp_path: Path) -> None:
    assert words(plan_up(project(tmp_path), [], {})) == [
        "network shop_back: make it unless it exists",
        "network shop_default: make it unless it exists",
        "volume shop_data: make it unless it exists",
        "container shop-db-1: create it from db",
        "container shop-db-1: start it",
        "container shop-api-1: create it from api",
        "container shop-db-1: wait for service_started",
        "container shop-api-1: start it",
        "container shop-web-1: create it from web",
        "container shop-api-1: wait for service_healthy",
        "container shop-web-1: start it",
    ]


def test_a_project_that_is_up_needs_nothing_but_its_networks(tmp_path: Path) -> None:
    shop = project(tmp_path)
    plan = plan_up(shop, records(shop), {"web": "sha256:1"})
    assert [line for line in words(plan) if line.startswith("container")] == []


def test_what_stopped_is_started_again(tmp_path: Path) -> None:
    shop = project(tmp_path)
    plan = words(plan_up(shop, records(shop, "exited"), {}, services=["db"]))
    assert plan[-1:] == ["container shop-db-1: start it"]
    assert not [line for line in plan if "create" in line]


def test_a_changed_service_or_image_is_replaced(tmp_path: Path) -> None:
    old = records(project(tmp_path))
    new = project(tmp_path, FILE.replace("image: db,", "image: db, user: '1',"))
    plan = words(plan_up(new, old, {"web": "sha256:2"}))
    assert "container shop-db-1: remove it (its service changed)" in plan
    assert "container shop-web-1: remove it (its image changed)" in plan
    assert "container shop-api-1: remove it" not in " ".join(plan)


def test_recreating_is_asked_for(tmp_path: Path) -> None:
    shop = project(tmp_path)
    plan = words(plan_up(shop, records(shop), {}, services=["db"], recreate=True))
    assert "container shop-db-1: remove it (asked for)" in plan


PROFILES = """
services:
  a: {image: x, depends_on: {b: {condition: service_healthy, required: REQUIRED}}}
  b: {image: x, profiles: [debug, test]}
  c: {image: x, profiles: [debug], depends_on: [d]}
  d: {image: x, profiles: [debug]}
  e: {image: x}
"""


def test_what_is_needed_must_be_active(tmp_path: Path) -> None:
    shop = project(tmp_path, PROFILES.replace("REQUIRED", "true"))
    says = r"^services\.a\.depends_on: b has the profile debug or test, which is not active"
    for named in ((), ("a",), ("a", "e")):
        with pytest.raises(InvalidInput, match=says):
            plan_up(shop, [], {}, services=named)
    assert chosen(shop, ["e"]) == {"e"}
    assert chosen(shop, ["b"]) == {"b"}


def test_naming_a_service_activates_its_profiles(tmp_path: Path) -> None:
    shop = project(tmp_path, PROFILES.replace("REQUIRED", "true"))
    assert chosen(shop, ["a", "b"]) == {"a", "b"}
    assert chosen(shop, ["a", "d"]) == {"a", "b", "d"}
    assert chosen(shop, ["c"]) == {"c", "d"}


def test_what_is_not_required_and_not_active_is_left_out(tmp_path: Path) -> None:
    shop = project(tmp_path, PROFILES.replace("REQUIRED", "false"))
    assert chosen(shop, []) == {"a", "e"}
    assert not [line for line in words(plan_up(shop, [], {})) if "-b-" in line]
    assert chosen(shop, ["a", "d"]) == {"a", "b", "d"}


def test_scaling_down_removes_the_highest_numbers(tmp_path: Path) -> None:
    three = project(tmp_path, "services: {w: {image: w, scale: 3}}")
    one = project(tmp_path, "services: {w: {image: w, scale: 1}}")
    plan = words(plan_up(one, records(three), {}))
    assert plan[1:] == [
        "container shop-w-2: remove it (one too many)",
        "container shop-w-3: remove it (one too many)",
    ]


def test_stopping_goes_against_the_order_of_needs_orphans_first(tmp_path: Path) -> None:
    shop = project(tmp_path)
    found = records(shop)
    orphan = found[0]._replace(name="old", spec=found[0].spec._replace(labels=()))
    order = stop_order(shop, [*found, orphan])
    assert [[record.name for record in group] for group in order] == [
        ["old"], ["shop-web-1"], ["shop-api-1"], ["shop-db-1"]
    ]  # fmt: skip


def test_containers_carry_compose_labels(tmp_path: Path) -> None:
    record = records(project(tmp_path))[0]
    assert label(record, "com.docker.compose.project") == "shop"
    assert label(record, "com.docker.compose.service") == "web"
    assert label(record, "com.docker.compose.container-number") == "1"
