"""Containers from their creation to their removal, on the real shim."""

from __future__ import annotations

import signal
import subprocess

import pytest

from wasmimg_compose import lifecycle
from wasmimg_compose.container import (
    Attachment,
    ContainerSpec,
    Healthcheck,
    Limits,
    Mount,
    Port,
    RestartPolicy,
)
from wasmimg_compose.lifecycle import Condition
from wasmimg_compose.volumes import Volumes
from wasmimg_images.errors import CannotInvoke, CommandNotFound, InvalidInput, NotFound, RunError
from wasmimg_testing.embedded import Machine, free_port, until

pytestmark = [pytest.mark.root, pytest.mark.network]
FOREVER = "trap 'exit 3' TERM; while :; do sleep 1; done"


def test_a_wasm_container_runs_to_its_end(machine: Machine) -> None:
    record = machine.start(ContainerSpec("hello"))
    assert lifecycle.wait(machine.home, record.id) == 42
    assert sorted(machine.log(record).splitlines()) == ["hello from wasm", "trouble"]
    ended = lifecycle.inspect(machine.home, record.id)
    assert ended.state == "exited"
    assert ended.finished_at >= ended.started_at > 0


def test_a_linux_container_has_its_options(machine: Machine) -> None:
    record = machine.shell(
        "echo $GREETING $NAME; pwd; hostname; id -u; cat /sys/fs/cgroup/pids/pids.max;"
        " cat /sys/fs/cgroup/memory/memory.limit_in_bytes;"
        " cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes; touch /x || echo read-only",
        env=(("NAME", "you"),),
        workdir="/srv/deep",
        hostname="box",
        user="1000:1000",
        limits=Limits(memory=64 << 20, pids=50),
        read_only=False,
    )
    assert machine.output(record).splitlines()[:7] == [
        "hi you",
        "/srv/deep",
        "box",
        "1000",
        "50",
        str(64 << 20),
        str(128 << 20),
    ]


def test_nobody_else_gets_at_what_it_holds(machine: Machine) -> None:
    """A set-user-ID program that a container makes would be root's for every user of the host."""
    record = machine.shell(
        "mkdir -p /tmp; for at in /tmp /data; do busybox cp /bin/busybox $at/x;"
        " busybox chmod 4755 $at/x; done; echo made; sleep 60",
        env=(("PASSWORD", "hunter2"),),
        mounts=(Mount("volume", "data", "/data"),),
    )
    until(lambda: "made" in machine.log(record), "its programs")
    for folder in (machine.home.run, machine.home.data):
        folder.chmod(0o755)
        words = (
            "find",
            ".",
            "-perm",
            "-4000",
            "-o",
            "-type",
            "f",
            "-exec",
            "grep",
            "-l",
            "hunter2",
        )
        found = subprocess.run(
            (
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                *words,
                "hunter2",
                "{}",
                "+",
            ),
            cwd=folder,  # the folders of the tests above it are closed too
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.stdout == ""
        assert "Permission denied" in found.stderr


def test_stop_lets_the_guest_end_by_itself(machine: Machine) -> None:
    record = machine.shell(f"echo ready; {FOREVER}")
    until(lambda: "ready" in machine.log(record), "the trap to be set")
    assert lifecycle.stop(machine.home, record.id).exit_code == 3
    assert lifecycle.stop(machine.home, record.id).exit_code == 3


def test_stop_kills_what_does_not_listen(machine: Machine) -> None:
    record = machine.shell("trap '' TERM; echo ready; while :; do sleep 1; done")
    until(lambda: "ready" in machine.log(record), "the trap to be set")
    assert lifecycle.stop(machine.home, record.name, grace=0.1).exit_code == 137


def test_kill_sends_any_signal(machine: Machine) -> None:
    record = machine.shell("trap 'echo got it' USR1; echo ready; while :; do sleep 0.1; done")
    until(lambda: "ready" in machine.log(record), "the trap to be set")
    lifecycle.kill(machine.home, record.id, signal.SIGUSR1)
    until(lambda: "got it" in machine.log(record), "the signal")
    lifecycle.kill(machine.home, record.id, signal.SIGKILL)
    assert lifecycle.wait(machine.home, record.id) == 137
    with pytest.raises(InvalidInput, match="is not running"):
        lifecycle.kill(machine.home, record.id, signal.SIGKILL)


def test_a_container_starts_again_with_its_files(machine: Machine) -> None:
    record = machine.shell("cat /kept 2>/dev/null; echo once more >> /kept")
    assert machine.output(record) == ""
    lifecycle.start(machine.home, record.id)
    assert machine.output(record) == "once more\n"


def test_restarting_keeps_files_volumes_and_ports(machine: Machine) -> None:
    number = free_port()
    record = machine.shell(
        f"cat /kept /v/kept; echo file > /kept; echo volume > /v/kept; {FOREVER}",
        ports=(Port(80, number),),
        mounts=(Mount("volume", "", "/v"),),
    )
    for _ in range(2):  # of a running one, then of a stopped one
        again = lifecycle.restart(machine.home, record.id)
        assert again.state == "running"
        assert (again.name, again.volumes) == (record.name, record.volumes)
        assert [port.host_port for port in again.ports] == [number]
        lifecycle.stop(machine.home, record.id)
    assert machine.log(record).count("file\nvolume\n") == 2


def test_what_removes_itself_can_not_be_restarted(machine: Machine) -> None:
    record = machine.shell(FOREVER, auto_remove=True)
    with pytest.raises(InvalidInput, match="is removed when it ends"):
        lifecycle.restart(machine.home, record.id)
    assert lifecycle.inspect(machine.home, record.id).state == "running"


def test_removing(machine: Machine) -> None:
    record = machine.shell(FOREVER)
    with pytest.raises(InvalidInput, match="is running"):
        lifecycle.remove(machine.home, record.id)
    lifecycle.remove(machine.home, record.id, force=True)
    with pytest.raises(NotFound):
        lifecycle.inspect(machine.home, record.id)
    until(lambda: not machine.leftovers(), "the end of all that it had")
    gone = machine.shell("true", auto_remove=True)
    until(lambda: not machine.records.folder(gone.id).exists(), "its removal")


def test_removing_what_is_always_restarted(machine: Machine) -> None:
    for _ in range(4):
        record = machine.shell("true", restart=RestartPolicy("always"))
        until(lambda record=record: machine.records.load(record.id).restarts > 0, "a restart")
        lifecycle.remove(machine.home, record.id, force=True)
        assert not machine.records.folder(record.id).exists()


@pytest.mark.parametrize(("command", "error"), [("/nope", CommandNotFound), ("/etc", CannotInvoke)])
def test_what_can_not_run_leaves_nothing(
    machine: Machine, command: str, error: type[RunError]
) -> None:
    record = lifecycle.create(machine.home, ContainerSpec("busy", command=(command,)))
    with pytest.raises(error, match=command):
        lifecycle.start(machine.home, record.id)
    assert lifecycle.inspect(machine.home, record.id).state == "created"
    until(lambda: not machine.leftovers(), "a clean host")


def test_names_are_unique(machine: Machine) -> None:
    lifecycle.create(machine.home, ContainerSpec("busy", name="web"))
    with pytest.raises(InvalidInput, match="the name web is taken"):
        lifecycle.create(machine.home, ContainerSpec("busy", name="web"))
    with pytest.raises(InvalidInput, match="no name for a container"):
        lifecycle.create(machine.home, ContainerSpec("busy", name="../x"))
    with pytest.raises(NotFound, match="no image nothing"):
        lifecycle.create(machine.home, ContainerSpec("nothing"))


def test_volumes_take_over_what_the_image_has(machine: Machine) -> None:
    mounts = (Mount("volume", "data", "/etc"), Mount("tmpfs", "", "/scratch", options=("size=1m",)))
    record = machine.shell("ls /etc; touch /etc/new; mount | grep -c /scratch", mounts=mounts)
    assert {"group", "passwd", "1"} <= set(machine.output(record).split())
    again = machine.shell("ls /etc", mounts=(Mount("volume", "data", "/etc", read_only=True),))
    assert "new" in machine.output(again).split()
    refused = machine.shell(
        "touch /etc/x && echo written", mounts=(Mount("volume", "data", "/etc", read_only=True),)
    )
    assert "written" not in machine.output(refused)
    lifecycle.remove(machine.home, record.id, volumes=True)
    assert Volumes.of(machine.home).all() == ["data"]


def test_a_bind_mount_shows_the_hosts_files(machine: Machine) -> None:
    folder = machine.home.data / "shared"
    folder.mkdir()
    (folder / "file").write_text("from the host\n")
    record = machine.shell("cat /m/file", mounts=(Mount("bind", str(folder), "/m", True),))
    assert machine.output(record) == "from the host\n"
    with pytest.raises(NotFound, match="no such file, to mount at /m"):
        machine.shell("true", mounts=(Mount("bind", str(folder / "nope"), "/m"),))


def test_a_failing_container_is_restarted_as_often_as_asked(machine: Machine) -> None:
    record = machine.shell("echo try; exit 9", restart=RestartPolicy("on-failure", 2))
    assert lifecycle.wait(machine.home, record.id) == 9
    assert machine.log(record).count("try") == 3
    assert lifecycle.inspect(machine.home, record.id).restarts == 2


def test_stop_ends_a_container_that_is_always_restarted(machine: Machine) -> None:
    record = machine.shell("echo try", restart=RestartPolicy("always"))
    until(lambda: machine.log(record).count("try") >= 3, "two restarts")
    lifecycle.stop(machine.home, record.id)
    assert lifecycle.wait(machine.home, record.id) >= 0
    count = machine.log(record).count("try")
    until(lambda: not machine.leftovers(), "the supervisor to end")
    assert machine.log(record).count("try") == count


@pytest.mark.parametrize("test", [("CMD", "grep", "x", "/ok"), ("CMD-SHELL", "grep x /ok")])
def test_a_program_tells_a_linux_containers_health(machine: Machine, test: tuple[str, ...]) -> None:
    check = Healthcheck(test, interval=0.3, timeout=5, retries=2)
    record = machine.shell(f"trap 'rm -f /ok' USR1; echo x > /ok; {FOREVER}", healthcheck=check)
    assert record.health == "starting"
    assert lifecycle.wait_for(machine.home, record.id, Condition.HEALTHY).health == "healthy"
    lifecycle.kill(machine.home, record.id, signal.SIGUSR1)
    until(lambda: lifecycle.inspect(machine.home, record.id).health == "unhealthy", "unhealthiness")
    with pytest.raises(RunError, match="is unhealthy"):
        lifecycle.wait_for(machine.home, record.id, Condition.HEALTHY)


@pytest.mark.parametrize(
    "test",
    [
        ("CMD", "wasmimg-probe", "http", "http://localhost:80/"),
        ("CMD-SHELL", "wasmimg-probe tcp 80 || exit 1"),
    ],
)
def test_the_built_in_probe_asks_inside_the_container(
    machine: Machine, test: tuple[str, ...]
) -> None:
    check = Healthcheck(test, interval=0.3, timeout=5, retries=2)
    record = machine.shell(
        "mkdir /www; echo hi > /www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www",
        healthcheck=check,
    )
    assert lifecycle.wait_for(machine.home, record.id, Condition.HEALTHY, timeout=20)


def test_waiting_for_what_can_not_come(machine: Machine) -> None:
    record = machine.shell("exit 4")
    lifecycle.wait(machine.home, record.id)
    with pytest.raises(RunError, match="ended with exit code 4"):
        lifecycle.wait_for(machine.home, record.id, Condition.HEALTHY)


def test_without_a_network_there_is_only_loopback(machine: Machine) -> None:
    record = machine.shell("ls /sys/class/net", networks=(Attachment("none"),))
    assert machine.output(record).split() == ["lo"]
    shared = machine.shell("ls /sys/class/net", networks=(Attachment("host"),))
    assert "eth0" in machine.output(shared).split() or "lo" in machine.log(shared).split()
