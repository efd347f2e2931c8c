from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import execution, install_plan, uninstall_plan
from wasmimg_shim.install import record as records
from wasmimg_shim.install.install_plan import Options
from wasmimg_shim.install.launchers import Launcher
from wasmimg_shim.install.machine import ContainerdHost, DockerHost, Machine, Version
from wasmimg_shim.install.operations import (
    EndZygotes,
    ReloadDocker,
    RestartDocker,
    Restore,
    SweepContainerd,
    SweepDocker,
    WriteFile,
)
from wasmimg_shim.install.rooted import Root, digest
from wasmimg_testing.install import DAEMON_JSON, LAUNCHERS, USERS, make_root, tree

if TYPE_CHECKING:
    from wasmimg_shim.install.plan import Plan

LAUNCHER = Launcher(
    b"#!/usr/bin/python3 -ISE\n# x, made by wasmimg\nfrom wasmimg_shim.main import main\n",
    "/usr/bin/python3",
    (),
)
RECORD = "/var/lib/wasmimg/install.json"
NAMES = frozenset({"wasmimg", "wasmedge", "wasmtime"})
DOCKER = DockerHost(Version(28, 5), socket="/run/docker.sock", pid=7, runtimes=NAMES | {"runc"})
MACHINE = Machine(DOCKER)
OUTSIDE = ReloadDocker | RestartDocker | EndZygotes | SweepDocker | SweepContainerd


def install(root: Path, **options: object) -> None:
    files = Root(str(root))
    files.make_folder("/var/lib/wasmimg")
    made = install_plan.plan(
        Machine(DockerHost()), files, LAUNCHER, records.load(files, RECORD), RECORD,
        Options(**options),  # type: ignore[arg-type]
    )  # fmt: skip
    carry_out(root, made)


def plan(root: Path, machine: Machine = MACHINE, **options: bool) -> Plan:
    files = Root(str(root))
    return uninstall_plan.plan(
        machine, files, records.load(files, RECORD), RECORD, "/run/wasmimg", **options
    )


def carry_out(root: Path, made: Plan) -> None:
    for operation in made.operations:
        if not isinstance(operation, OUTSIDE):
            execution.run(operation, Root(str(root)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


def test_everything_comes_back_byte_for_byte(root: Path) -> None:
    before = tree(root)
    install(root)
    assert tree(root) != before
    made = plan(root)
    carry_out(root, made)
    assert tree(root) == before
    assert made.notes == ()


def test_docker_forgets_the_runtimes_before_its_file_comes_back(root: Path) -> None:
    install(root)
    made = plan(root)
    first, second, third, fourth, *_ = made.operations
    assert isinstance(first, WriteFile)
    assert first.path == RECORD
    assert isinstance(second, WriteFile)
    assert json.loads(second.content)["runtimes"] == {}
    assert third == ReloadDocker(7, "/run/docker.sock", frozenset(), NAMES)
    over = digest(second.content)
    assert fourth == Restore(f"/{DAEMON_JSON}", f"/{DAEMON_JSON}.before-wasmimg", over)


def test_users_runtimes_are_known_after_the_reload(tmp_path: Path) -> None:
    theirs = {
        "runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2"}, "wasmedge": {"path": "/x"}}
    }
    root = make_root(tmp_path / "root", daemon_json=json.dumps(theirs).encode())
    install(root, force=True)
    made = plan(root)
    assert (
        ReloadDocker(7, "/run/docker.sock", frozenset({"wasmedge"}), NAMES - {"wasmedge"})
        in made.operations
    )
    assert not [each for each in made.operations if isinstance(each, WriteFile)]


def test_a_file_that_was_changed_since_loses_only_our_keys(root: Path) -> None:
    install(root)
    document = json.loads((root / DAEMON_JSON).read_bytes())
    document["debug"] = True
    (root / DAEMON_JSON).write_text(json.dumps(document))
    made = plan(root)
    assert f"/{DAEMON_JSON} was changed since: only our keys are removed" in made.notes
    carry_out(root, made)
    assert json.loads((root / DAEMON_JSON).read_bytes()) == {**json.loads(USERS), "debug": True}
    assert sorted(p.name for p in (root / "etc/docker").iterdir()) == ["daemon.json"]


def test_an_install_over_a_changed_file_does_not_bring_the_old_one_back(root: Path) -> None:
    install(root, drop_ins=False)
    document = json.loads((root / DAEMON_JSON).read_bytes())
    document["debug"] = True
    (root / DAEMON_JSON).write_text(json.dumps(document))
    install(root)
    carry_out(root, plan(root))
    assert json.loads((root / DAEMON_JSON).read_bytes()) == {**json.loads(USERS), "debug": True}


def test_a_file_that_we_made_goes_unless_somebody_added_to_it(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", daemon_json=None)
    before = tree(root)
    install(root)
    carry_out(root, plan(root))
    assert tree(root) == before
    install(root)
    document = json.loads((root / DAEMON_JSON).read_bytes())
    (root / DAEMON_JSON).write_text(json.dumps({**document, "debug": True}))
    carry_out(root, plan(root))
    assert json.loads((root / DAEMON_JSON).read_bytes()) == {"debug": True}


def test_forced_out_launchers_come_back(root: Path) -> None:
    (root / LAUNCHERS[1]).write_bytes(b"\x7fELF theirs")
    (root / LAUNCHERS[1]).chmod(0o711)
    before = tree(root)
    install(root, force=True)
    carry_out(root, plan(root))
    assert tree(root) == before


def test_what_somebody_put_in_our_place_stays(root: Path) -> None:
    (root / LAUNCHERS[1]).write_bytes(b"\x7fELF theirs")
    install(root, force=True)
    (root / LAUNCHERS[1]).write_bytes(b"\x7fELF newer")
    made = plan(root)
    carry_out(root, made)
    assert (root / LAUNCHERS[1]).read_bytes() == b"\x7fELF newer"
    assert (root / f"{LAUNCHERS[1]}.before-wasmimg").read_bytes() == b"\x7fELF theirs"
    assert any("was replaced by somebody else and stays" in note for note in made.notes)


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_who_edits_at_the_same_time_loses_nothing(root: Path, verb: str) -> None:
    if verb == "uninstall":
        install(root)
        made = plan(root)
    else:
        files = Root(str(root))
        made = install_plan.plan(
            Machine(DockerHost()), files, LAUNCHER, records.load(files, RECORD), RECORD, Options()
        )
        files.make_folder("/var/lib/wasmimg")
    (root / DAEMON_JSON).write_bytes(b'{"debug": true}')
    with pytest.raises(HostError, match="is being changed by somebody else"):
        carry_out(root, made)
    assert (root / DAEMON_JSON).read_bytes() == b'{"debug": true}'
    carry_out(root, plan(root))
    assert (root / DAEMON_JSON).read_bytes() == b'{"debug": true}'
    assert sorted(p.name for p in (root / "etc/docker").iterdir()) == ["daemon.json"]


def test_without_the_backup_only_our_keys_go(root: Path) -> None:
    install(root)
    (root / f"{DAEMON_JSON}.before-wasmimg").write_bytes(b"spoilt")
    made = plan(root)
    assert any("is gone: only our keys are removed" in note for note in made.notes)
    carry_out(root, made)
    assert (root / DAEMON_JSON).read_bytes() == USERS


def test_a_daemon_json_that_was_spoilt_stops_everything(root: Path) -> None:
    install(root)
    (root / DAEMON_JSON).write_bytes(b"{")
    with pytest.raises(InvalidInput, match=r"daemon\.json:1:2: "):
        plan(root)


def test_running_containers_are_named(root: Path) -> None:
    install(root)
    machine = Machine(DOCKER._replace(running=("web",)), ContainerdHost(running=("k8s.io/x",)))
    with pytest.raises(InvalidInput, match=r"web, k8s\.io/x"):
        plan(root, machine)
    assert plan(root, machine, force=True).operations


def test_a_default_runtime_of_ours_is_not_taken_away(root: Path) -> None:
    install(root)
    document = json.loads((root / DAEMON_JSON).read_bytes())
    (root / DAEMON_JSON).write_text(json.dumps({**document, "default-runtime": "wasmimg"}))
    with pytest.raises(InvalidInput, match="default-runtime is wasmimg"):
        plan(root)


def test_the_image_store_that_comes_back_needs_a_restart(root: Path) -> None:
    install(root)
    on = DOCKER._replace(snapshotter=True)
    assert any("systemctl restart docker" in note for note in plan(root, Machine(on)).notes)
    made = plan(root, Machine(on._replace(systemd=True)), restart=True)
    assert RestartDocker("/run/docker.sock") in made.operations
    with pytest.raises(HostError, match="not systemd that runs it"):
        plan(root, Machine(on), restart=True)
    assert plan(root, Machine(on._replace(version=Version(29, 0)))).notes == ()


def test_where_nothing_is_installed_nothing_is_done(root: Path) -> None:
    assert plan(root).operations == ()


def test_what_a_killed_proof_left_goes_even_then(root: Path) -> None:
    machine = Machine(DOCKER._replace(leftovers=True), ContainerdHost(address="/c", leftovers=True))
    assert plan(root, machine).operations[:2] == (
        SweepDocker("/run/docker.sock"),
        SweepContainerd("/c"),
    )


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"version": 2}', b'{"version": 1}', b'{"version": 1, "files": [{}]}']
)
def test_a_record_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"install\.json"):
        records.Record.parse(raw, "install.json")
