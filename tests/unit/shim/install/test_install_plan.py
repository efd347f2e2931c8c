from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import execution, install_plan
from wasmimg_shim.install import record as records
from wasmimg_shim.install.install_plan import RUNTIME, Options
from wasmimg_shim.install.launchers import Launcher
from wasmimg_shim.install.machine import ContainerdHost, DockerHost, Machine, Version
from wasmimg_shim.install.operations import (
    BackUp,
    CheckDaemonJson,
    ProveContainerd,
    ProveDocker,
    ReloadDocker,
    RestartDocker,
    SweepDocker,
    WriteFile,
)
from wasmimg_shim.install.rooted import Root, digest
from wasmimg_testing.install import DAEMON_JSON, LAUNCHERS, USERS, make_root

if TYPE_CHECKING:
    from wasmimg_shim.install.plan import Plan

LAUNCHER = Launcher(
    b"#!/usr/bin/python3 -ISE\n# x, made by wasmimg\nfrom wasmimg_shim.main import main\n",
    "/usr/bin/python3",
    (),
)
RECORD = "/var/lib/wasmimg/install.json"
SOCKET = "/run/docker.sock"
BIN = ("/usr/local/bin", "/usr/bin")
RUNNING = DockerHost(Version(28, 5), socket=SOCKET, pid=7, snapshotter=True, search=BIN)
FOREIGN = b"\x7fELF another shim"


def plan(
    root: Path,
    docker: DockerHost | None = RUNNING,
    containerd: ContainerdHost | None = None,
    **options: object,
) -> Plan:
    files = Root(str(root))
    return install_plan.plan(
        Machine(docker, containerd),
        files,
        options.pop("launcher", LAUNCHER),  # type: ignore[arg-type]
        records.load(files, RECORD),
        RECORD,
        Options(**options),  # type: ignore[arg-type]
    )


def carry_out(root: Path, made: Plan) -> None:
    """Do what a plan does to files."""
    files = Root(str(root))
    files.make_folder("/var/lib/wasmimg")
    for operation in made.operations:
        if not isinstance(
            operation, ProveDocker | ReloadDocker | RestartDocker | SweepDocker | ProveContainerd
        ):
            execution.run(operation, files)


def kinds(made: Plan) -> list[str]:
    return [type(operation).__name__ for operation in made.operations]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


def test_the_record_comes_first_and_the_proof_last(root: Path) -> None:
    made = plan(root)
    assert [operation.describe() for operation in made.operations] == [
        "write /var/lib/wasmimg/install.json: what uninstall undoes",
        *(f"write /{launcher}: starts the shim" for launcher in LAUNCHERS),
        f"keep /{DAEMON_JSON} as /{DAEMON_JSON}.before-wasmimg",
        f"write /{DAEMON_JSON}: add runtimes.wasmimg, runtimes.wasmedge, runtimes.wasmtime",
        "reload Docker: SIGHUP to dockerd (7)",
        f"run a Wasm image under Docker and remove it: wasmimg, {RUNTIME}",
    ]
    assert made.notes == ()
    assert made.asks is None


def test_dockerd_reads_its_new_configuration_before_anything_is_changed(root: Path) -> None:
    made = plan(root, RUNNING._replace(program="/usr/sbin/dockerd"))
    assert kinds(made)[:2] == ["CheckDaemonJson", "WriteFile"]
    assert made.operations[0] == CheckDaemonJson(
        "/usr/sbin/dockerd",
        f"/{DAEMON_JSON}",
        next(
            operation.content
            for operation in made.operations
            if isinstance(operation, WriteFile) and operation.path == f"/{DAEMON_JSON}"
        ),
    )


def test_a_plan_changes_nothing(root: Path) -> None:
    plan(root)
    assert (root / DAEMON_JSON).read_bytes() == USERS
    assert not (root / LAUNCHERS[0]).exists()


def test_what_is_installed_is_only_proved_again(root: Path) -> None:
    carry_out(root, plan(root))
    known = RUNNING._replace(runtimes=frozenset({"wasmimg", "wasmedge", "wasmtime", "runc"}))
    assert kinds(plan(root, known)) == ["ProveDocker"]
    assert kinds(plan(root, known, proof=False)) == []


def test_a_dockerd_that_missed_its_reload_gets_it(root: Path) -> None:
    carry_out(root, plan(root))
    assert kinds(plan(root)) == ["ReloadDocker", "ProveDocker"]


def test_containerd_needs_only_the_launchers(root: Path) -> None:
    made = plan(root, None, ContainerdHost(Version(2, 1), "/run/containerd/containerd.sock", BIN))
    assert kinds(made) == ["WriteFile"] * 4 + ["ProveContainerd"]
    assert made.operations[-1] == ProveContainerd("/run/containerd/containerd.sock", RUNTIME)


def test_launchers_off_the_path_are_called_by_their_own(root: Path) -> None:
    containerd = ContainerdHost(Version(2, 1), "/c.sock", ("/usr/bin",))
    made = plan(root, RUNNING._replace(search=("/usr/bin",)), containerd, bin_dir="/opt/bin")
    assert ProveDocker(SOCKET, ("wasmimg",)) in made.operations
    assert ProveContainerd("/c.sock", "/opt/bin/containerd-shim-wasmimg-v1") in made.operations
    assert [note for note in made.notes if "/opt/bin is not on the PATH of" in note] == list(
        made.notes
    )
    assert "make the folder /opt/bin" in [operation.describe() for operation in made.operations]


@pytest.mark.parametrize("name", ["wasmimg", "wasmtime"])
def test_another_programs_launcher_is_refused(root: Path, name: str) -> None:
    path = root / f"usr/local/bin/containerd-shim-{name}-v1"
    path.write_bytes(FOREIGN)
    with pytest.raises(
        InvalidInput, match=f"/usr/local/bin/containerd-shim-{name}-v1 is there"
    ) as caught:
        plan(root)
    assert "--force" in str(caught.value.hint)
    if name == "wasmtime":
        plan(root, drop_ins=False)
    made = plan(root, force=True)
    name = f"/{path.relative_to(root)}"
    assert BackUp(name, f"{name}.before-wasmimg", digest(FOREIGN)) in made.operations


def test_a_backup_takes_no_name_that_is_taken(root: Path) -> None:
    (root / f"{DAEMON_JSON}.before-wasmimg").write_bytes(b"somebody's")
    made = plan(root)
    backup = BackUp(f"/{DAEMON_JSON}", f"/{DAEMON_JSON}.before-wasmimg.2", digest(USERS))
    assert backup in made.operations


def test_the_script_that_pip_made_is_replaced_and_kept(root: Path) -> None:
    script = b"#!/x/python\nimport sys\nfrom wasmimg_shim.main import main\n"
    (root / LAUNCHERS[0]).write_bytes(script)
    name = f"/{LAUNCHERS[0]}"
    assert BackUp(name, f"{name}.before-wasmimg", digest(script)) in plan(root).operations


def test_a_new_release_replaces_its_launchers_and_keeps_none(root: Path) -> None:
    carry_out(root, plan(root))
    newer = LAUNCHER._replace(text=LAUNCHER.text + b"# newer\n")
    made = plan(root, launcher=newer, proof=False)
    assert kinds(made) == ["WriteFile"] * 4 + ["ReloadDocker"]
    record = made.operations[0]
    assert isinstance(record, WriteFile)
    entry = records.Record.parse(record.content, "r").entry(f"/{LAUNCHERS[0]}")
    assert entry is not None
    assert len(entry.ours) == 2
    assert entry.before is None


def test_a_launcher_that_somebody_took_since_is_refused(root: Path) -> None:
    carry_out(root, plan(root))
    (root / LAUNCHERS[1]).write_bytes(FOREIGN)
    with pytest.raises(InvalidInput, match="another program's"):
        plan(root)


def test_docker_before_24_takes_only_dotted_names(root: Path) -> None:
    made = plan(root, RUNNING._replace(version=Version(23, 0)))
    assert kinds(made) == ["WriteFile"] * 4 + ["ProveDocker"]
    assert made.operations[-1] == ProveDocker(SOCKET, (RUNTIME,))
    assert made.notes == (f"Docker 23.0 knows the runtime only as {RUNTIME}",)


def test_docker_before_24_needs_the_launchers_on_its_path(root: Path) -> None:
    with pytest.raises(HostError, match="finds shims only on its PATH"):
        plan(root, RUNNING._replace(version=Version(23, 0)), bin_dir="/opt/bin")


def test_docker_before_23_is_refused(root: Path) -> None:
    with pytest.raises(HostError, match=r"Docker 20\.10 can't run containerd shims"):
        plan(root, RUNNING._replace(version=Version(20, 10)))


@pytest.mark.parametrize("flag", ["add-runtime", "feature"])
def test_a_flag_that_a_key_would_contradict_is_named(root: Path, flag: str) -> None:
    docker = RUNNING._replace(flags=frozenset({"host", flag}), snapshotter=False)
    with pytest.raises(HostError, match=f"dockerd runs with --{flag}"):
        plan(root, docker)


def test_images_that_would_be_hidden_are_asked_about(root: Path) -> None:
    docker = RUNNING._replace(snapshotter=False, hidden=(3, 2))
    made = plan(root, docker)
    assert made.asks is not None
    assert "3 images and 2 containers" in made.asks
    assert plan(root, docker, keep_image_store=True).asks is None
    assert plan(root, docker._replace(hidden=(0, 0))).asks is None


def test_a_feature_that_is_off_is_asked_about(root: Path) -> None:
    (root / DAEMON_JSON).write_bytes(b'{"features": {"containerd-snapshotter": false}}')
    made = plan(root, RUNNING._replace(snapshotter=False))
    assert made.asks is not None
    assert "is off in" in made.asks


def test_another_image_store_needs_a_restart_and_no_proof_comes_before(root: Path) -> None:
    docker = RUNNING._replace(snapshotter=False)
    made = plan(root, docker)
    assert "ProveDocker" not in kinds(made)
    assert any("systemctl restart docker" in note for note in made.notes)
    restarted = plan(root, docker._replace(systemd=True), restart=True)
    assert kinds(restarted)[-2:] == ["RestartDocker", "ProveDocker"]
    assert "ReloadDocker" not in kinds(restarted)
    with pytest.raises(HostError, match="not systemd that runs it"):
        plan(root, docker, restart=True)


def test_after_a_restart_that_was_not_ours_it_is_proved(root: Path) -> None:
    carry_out(root, plan(root, RUNNING._replace(snapshotter=False)))
    known = RUNNING._replace(runtimes=frozenset({"wasmimg", "wasmedge", "wasmtime"}))
    assert kinds(plan(root, known)) == ["ProveDocker"]


def test_what_a_killed_proof_left_goes_first(root: Path) -> None:
    made = plan(root, RUNNING._replace(leftovers=True))
    assert "SweepDocker" in kinds(made)


def test_an_engine_that_rests_is_named(root: Path) -> None:
    made = plan(root, DockerHost(), ContainerdHost())
    assert made.notes == ("Docker and containerd can't be reached: no proof by a run",)
    assert kinds(made)[-1] == "WriteFile"


def test_a_root_without_our_interpreter_is_told_of(root: Path) -> None:
    made = plan(root, launcher=LAUNCHER._replace(python="/opt/venv/bin/python"))
    assert made.notes == ("there is no /opt/venv/bin/python yet: install wasmimg there as well",)


def test_code_that_others_can_change_is_named(root: Path) -> None:
    made = plan(root, launcher=LAUNCHER._replace(exposed=("/home/x",)))
    assert made.notes == (
        "/home/x can be changed by others than root, and containerd runs it as root",
    )


def test_a_daemon_json_that_is_no_json_is_named_by_line_and_column(root: Path) -> None:
    (root / DAEMON_JSON).write_bytes(b'{\n  "debug": tru\n}\n')
    with pytest.raises(InvalidInput, match=r"^/etc/docker/daemon\.json:2:12: "):
        plan(root)


@pytest.mark.parametrize("what", ["folder", "fifo"])
def test_a_daemon_json_that_is_no_file_is_refused(tmp_path: Path, what: str) -> None:
    root = make_root(tmp_path / "root", daemon_json=None)
    if what == "folder":
        (root / DAEMON_JSON).mkdir()
    else:
        os.mkfifo(root / DAEMON_JSON)
    with pytest.raises(HostError, match="no regular file"):
        plan(root)
