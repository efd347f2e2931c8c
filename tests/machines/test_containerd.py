"""The life of a Wasm container under containerd alone, by its own command line."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines import ContainerdHost

BUNDLES = "/run/containerd/io.containerd.runtime.v2.task/default"


@pytest.fixture(autouse=True)
def nothing_left(containerd: ContainerdHost) -> Iterator[None]:
    before = Traces.of(containerd.machine)
    yield
    containerd.clear()
    vanish(containerd.machine, before)


def status(containerd: ContainerdHost, name: str) -> str:
    """Give a task's state, as `ctr task ls` has it; empty where there is none."""
    for line in containerd.ctr("task", "ls").well().splitlines()[1:]:
        found, _, state = line.split()
        if found == name:
            return state
    return ""


def test_output_and_exit_code_are_the_guests(containerd: ContainerdHost) -> None:
    assert containerd.run("--rm", "test/hello", "one") == (0, "hello\n", "")
    assert containerd.run("--rm", "test/exit42", "two").code == 42
    trapped = containerd.run("--rm", "test/trap", "three")
    assert trapped.code == 134
    assert "wasm `unreachable` instruction executed" in trapped.err


def test_with_dockers_seccomp_profile(containerd: ContainerdHost) -> None:
    assert containerd.run("--rm", "--seccomp", "test/hello", "filtered") == (0, "hello\n", "")


def test_arguments_environment_and_mounts(containerd: ContainerdHost) -> None:
    words = ("test/toolbox", "words", "/toolbox.wasm", "args", "a b", "c")
    assert containerd.run("--rm", *words).out == "a b|c\n"
    words = ("test/toolbox", "env", "/toolbox.wasm", "env")
    printed = containerd.run("--rm", "--env", "GIVEN=yes", *words).out.splitlines()
    assert {"GIVEN=yes", "IMAGE=yes"} <= set(printed)
    containerd.machine.path("/srv/in").mkdir(exist_ok=True)
    containerd.machine.path("/srv/in/file").write_text("of the host")
    mount = "type=bind,src=/srv/in,dst=/in,options=rbind:ro"
    words = ("test/toolbox", "mount", "/toolbox.wasm", "read", "/in/file")
    assert containerd.run("--rm", "--mount", mount, *words).out == "of the host"


def test_a_wrong_entrypoint_is_named(containerd: ContainerdHost) -> None:
    for word, why in (
        ("/nothing", "no such file or directory"),
        ("/not.wasm", "exec format error"),
    ):
        done = containerd.run("--rm", "test/toolbox", "wrong", word)
        assert (done.code, why in done.err, word in done.err) == (1, True, True), done


def test_a_detached_task_is_listed_signalled_and_deleted(containerd: ContainerdHost) -> None:
    containerd.run("-d", "test/sleep", "asleep").well()
    assert status(containerd, "asleep") == "RUNNING"
    pids = containerd.ctr("task", "ps", "asleep").well().splitlines()[1:]
    (pid,) = [line.split()[0] for line in pids]
    assert containerd.machine.run("cat", f"/proc/{pid}/comm").code == 0
    assert containerd.machine.path(f"{BUNDLES}/asleep/address").read_text().startswith("unix:///")
    containerd.ctr("task", "kill", "-s", "TERM", "asleep").well()
    until(lambda: status(containerd, "asleep") == "STOPPED", "it has ended")
    done = containerd.ctr("task", "delete", "asleep")
    assert "exit code 143" in done.err
    containerd.ctr("container", "delete", "asleep").well()


def test_a_task_may_be_made_and_never_started(containerd: ContainerdHost) -> None:
    containerd.create("test/sleep", "made").well()
    starter = containerd.machine.start("ctr", "task", "start", "--detach", "made")
    starter.communicate(timeout=60)
    until(lambda: status(containerd, "made") == "RUNNING", "it runs")
    containerd.ctr("task", "kill", "-s", "KILL", "made").well()
    until(lambda: status(containerd, "made") == "STOPPED", "it has ended")


def test_standard_input_ends_when_the_client_does(containerd: ContainerdHost) -> None:
    done = containerd.run("--rm", "test/cat", "cat", stdin=b"one\ntwo\n")
    assert (done.code, done.out) == (0, "one\ntwo\n")


def script(containerd: ContainerdHost, text: str) -> str:
    """Put a logger into the machine and give its address."""
    path = containerd.machine.path("/srv/a logger")
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return "binary:///srv/a%20logger"


@pytest.mark.parametrize("image", ["test/hello", "test/busy"])
def test_a_logger_gets_what_is_written(containerd: ContainerdHost, image: str) -> None:
    words = ("sh", "-c", "echo hello") if image == "test/busy" else ()
    uri = script(
        containerd,
        'exec 5>&-; cat <&3 > "$2"; sleep 0.3; echo "$CONTAINER_NAMESPACE/$CONTAINER_ID" >> "$2"',
    )
    log = containerd.machine.path("/srv/logged")
    log.unlink(missing_ok=True)
    done = containerd.run("--rm", "--log-uri", f"{uri}?to=/srv/logged", image, "told", *words)
    assert done == (0, "", ""), done
    assert log.read_text() == "hello\ndefault/told\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "/nowhere: No such file or directory"), ("exit 3", "ended with status 3")],
)
def test_a_logger_that_fails_is_told(
    containerd: ContainerdHost, text: str | None, why: str
) -> None:
    uri = "binary:///nowhere" if text is None else script(containerd, text)
    done = containerd.run("--rm", "--log-uri", uri, "test/hello", "untold")
    assert (done.code, done.out) == (1, "")
    assert why in done.err, done.err
    assert status(containerd, "untold") == ""


@pytest.mark.parametrize("image", ["test/hello", "test/busy"])
def test_a_file_gets_what_is_written(containerd: ContainerdHost, image: str) -> None:
    words = ("sh", "-c", "echo hello") if image == "test/busy" else ()
    folder = containerd.machine.path("/srv/logs")
    for count in (1, 2):
        uri = "file:///srv/logs/a%20file"
        assert containerd.run("--rm", "--log-uri", uri, image, "kept", *words) == (0, "", "")
        assert (folder / "a file").read_text() == "hello\n" * count
    (folder / "a file").unlink()
    folder.rmdir()


def test_tasks_outlive_containerd(containerd: ContainerdHost) -> None:
    containerd.run("-d", "test/sleep", "lasting").well()
    (before,) = containerd.ctr("task", "ps", "lasting").well().splitlines()[1:]
    containerd.restart()
    assert status(containerd, "lasting") == "RUNNING"
    assert containerd.ctr("task", "ps", "lasting").well().splitlines()[1:] == [before]
    containerd.ctr("task", "kill", "-s", "USR1", "lasting").well()
    until(lambda: status(containerd, "lasting") == "STOPPED", "it has ended")
    assert "exit code 138" in containerd.ctr("task", "delete", "lasting").err


def test_events_come_in_the_order_that_the_protocol_demands(containerd: ContainerdHost) -> None:
    listener = containerd.machine.start("ctr", "events")
    assert listener.stdout is not None
    # Until it listens: a name of its own each time.
    topics: list[str] = []
    containerd.run("--rm", "test/exit42", "heard")
    while not topics or topics[-1] != "/containers/delete":
        line = listener.stdout.readline().decode()
        _, _, _, _, _, topic, *rest = line.split(maxsplit=6)
        if '"heard"' in rest[0]:
            topics.append(topic)
            if topic == "/tasks/exit":
                assert json.loads(rest[0])["exit_status"] == 42
    listener.kill()
    listener.communicate()
    tasks = [topic for topic in topics if topic.startswith("/tasks/")]
    assert tasks == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]


def test_linux_images_run_under_the_same_runtime(containerd: ContainerdHost) -> None:
    done = containerd.run("--rm", "test/busy", "linux", "sh", "-c", "echo hi; exit 7")
    assert (done.code, done.out) == (7, "hi\n")
    containerd.run("-d", "test/busy", "server", "sleep", "1000").well()
    done = containerd.ctr(
        "task", "exec", "--exec-id", "e1", "server", "sh", "-c", "echo in; exit 3"
    )
    assert (done.code, done.out) == (3, "in\n")
    containerd.ctr("task", "kill", "-s", "KILL", "server").well()
    until(lambda: status(containerd, "server") == "STOPPED", "it has ended")


def test_containerd_asks_who_the_shim_is(containerd: ContainerdHost) -> None:
    if "inspect-runtime" not in containerd.ctr("plugins", "--help").out:
        done = containerd.machine.run("containerd-shim-wasmimg-v1", "-info")
        assert "io.containerd.wasmimg.v1" in done.well(), "only containerd 2 asks"
        return
    asked = containerd.ctr("plugins", "inspect-runtime", "--runtime", "io.containerd.wasmimg.v1")
    info = json.loads(asked.well())
    assert info["Name"] == "io.containerd.wasmimg.v1"
    assert info["Version"]["Version"]


def test_by_configuration_one_shim_serves_a_namespace(containerd: ContainerdHost) -> None:
    containerd.restart(WASMIMG_SHIM_GROUP="namespace")
    try:
        for name in ("one", "two"):
            containerd.run("-d", "test/sleep", name).well()
        files = [containerd.machine.path(f"{BUNDLES}/{name}/address") for name in ("one", "two")]
        assert len({file.read_text() for file in files}) == 1
        containerd.clear()
        options = shlex.join(containerd.options("--rm", "docker.io/test/hello:latest"))
        script = f"seq 30 | xargs -P 4 -I N ctr run {options} shared-N"
        done = containerd.machine.run("sh", "-c", script, timeout=300)
        assert (done.code, done.out) == (0, "hello\n" * 30), done.err
    finally:
        containerd.restart()
