"""OCI hooks of Wasm containers: all six kinds, each once, in their place and order."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from wasmimg_shim import client
from wasmimg_shim.client import RpcError
from wasmimg_shim.messages import TaskStatus
from wasmimg_testing.images import BUSYBOX
from wasmimg_testing.shims import ShimHost, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
]

KINDS = (
    *("prestart", "createRuntime", "createContainer"),
    *("startContainer", "poststart", "poststop"),
)
#: what a hook writes down: its kind, its namespaces, whether it sees the host's files, its state
NOTE = """
echo "$1" $(readlink /proc/self/ns/net) $(readlink /proc/self/ns/mnt) \
  $([ -e "$2" ] && echo host || echo container) "$WHO" $(cat) >> "$3"
"""


class Hooked:
    """A bundle with hooks of every kind that write into one file."""

    def __init__(self, host: ShimHost, kind: str = "hello") -> None:
        self.path = host.wasm("h1", kind)
        self.notes = Path(self.path, "rootfs", "notes")
        rootfs = Path(self.path, "rootfs")
        (rootfs / "busybox").write_bytes(BUSYBOX.read_bytes())
        (rootfs / "busybox").chmod(0o755)
        self.set({kind: [self.hook(kind)] for kind in KINDS})

    def hook(self, kind: str, script: str = NOTE) -> dict[str, object]:
        inside = kind == "startContainer"
        shell = "/busybox" if inside else str(BUSYBOX)
        notes = "/notes" if inside else str(self.notes)
        words = ["busybox", "sh", "-c", script, "hook", kind, self.path, notes]
        return {"path": shell, "args": words, "env": ["PATH=/bin", f"WHO=i-am-{kind}"]}

    def set(self, hooks: dict[str, list[dict[str, object]]]) -> None:
        file = Path(self.path, "config.json")
        config = json.loads(file.read_text())
        config["hooks"] = hooks
        config["annotations"] = {"a": "b"}
        file.write_text(json.dumps(config))

    def noted(self) -> list[list[str]]:
        if not self.notes.exists():
            return []
        return [line.split(" ", 5) for line in self.notes.read_text().splitlines()]

    def kinds(self) -> list[str]:
        return [note[0] for note in self.noted()]


@contextmanager
def serving(host: ShimHost, bundle: Hooked) -> Iterator[client.TaskClient]:
    """Start a shim, and let it end where the test has left it without containers."""
    with host.shim(bundle.path) as shim:
        yield shim
        shim.shutdown()


def namespaces(pid: int | str) -> list[str]:
    return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt")]


def test_each_kind_runs_once_in_its_place(host: ShimHost) -> None:
    bundle = Hooked(host, "sleep")
    with serving(host, bundle) as shim:
        pid = shim.create("h1", bundle.path)
        theirs, ours = namespaces(pid), namespaces("self")
        assert bundle.kinds() == ["prestart", "createRuntime", "createContainer"]
        shim.start("h1")
        assert bundle.kinds() == list(KINDS[:5])
        shim.kill("h1", signal.SIGKILL)
        shim.wait("h1")
        assert bundle.kinds() == list(KINDS[:5])
        shim.delete("h1")
        assert bundle.kinds() == list(KINDS)
    expected = {
        "prestart": (ours, "host", "creating", pid),
        "createRuntime": (ours, "host", "creating", pid),
        "createContainer": (theirs, "host", "creating", 1),
        "startContainer": (theirs, "container", "created", 1),
        "poststart": (ours, "host", "running", pid),
        "poststop": (ours, "host", "stopped", None),
    }
    for kind, net, mount, sees, who, document in bundle.noted():
        state = json.loads(document)
        assert ([net, mount], sees, state["status"], state.get("pid")) == expected[kind], kind
        assert who == f"i-am-{kind}"
        assert (state["id"], state["bundle"]) == ("h1", bundle.path)
        assert (state["ociVersion"], state["annotations"]) == ("1.0.2", {"a": "b"})


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_hook_that_fails_before_the_start_undoes_the_container(host: ShimHost, kind: str) -> None:
    bundle = Hooked(host)
    bundle.set(
        {
            kind: [bundle.hook(kind, "echo no such luck >&2; exit 3"), bundle.hook(kind)],
            "poststop": [bundle.hook("poststop")],
        }
    )
    with serving(host, bundle) as shim:
        with pytest.raises(RpcError, match=rf"{kind} hook .*status 3: no such luck"):
            shim.create("h1", bundle.path)
        assert bundle.kinds() == ["poststop"]
        bundle.set({})
        shim.create("h1", bundle.path)
        shim.delete("h1")


def test_a_start_hook_that_fails_stops_the_container(host: ShimHost) -> None:
    bundle = Hooked(host)
    bundle.set({"startContainer": [bundle.hook("startContainer", "echo never; exit 4")]})
    out = host.root / "out"
    with serving(host, bundle) as shim:
        shim.create("h1", bundle.path, stdout=str(out))
        with pytest.raises(RpcError, match=r"startContainer hook .*status 4: never"):
            shim.start("h1")
        assert shim.wait("h1").status == 255
        shim.delete("h1")
    assert out.read_text() == ""


def test_a_hook_that_only_hears_of_things_changes_nothing(host: ShimHost) -> None:
    bundle = Hooked(host, "exit42")
    failing = "exit 1"
    bundle.set({kind: [bundle.hook(kind, failing)] for kind in ("poststart", "poststop")})
    with serving(host, bundle) as shim:
        shim.create("h1", bundle.path)
        shim.start("h1")
        assert shim.wait("h1").status == 42
        shim.delete("h1")


@pytest.mark.parametrize("kind", ["prestart", "createContainer"])
def test_a_hook_that_takes_too_long_is_killed(host: ShimHost, kind: str) -> None:
    bundle = Hooked(host)
    late = bundle.hook(kind, "sleep 1000 & wait")
    bundle.set({kind: [{**late, "timeout": 1}]})
    with serving(host, bundle) as shim:
        begin = time.monotonic()
        with pytest.raises(RpcError, match="more than 1 s"):
            shim.create("h1", bundle.path)
        assert time.monotonic() - begin < 10


def test_a_slow_hook_holds_up_no_other_container(host: ShimHost) -> None:
    bundle = Hooked(host)
    pipe = host.root / "go"
    os.mkfifo(pipe)
    bundle.set({"prestart": [bundle.hook("prestart", f"cat {pipe}")]})
    other = host.wasm("h2", "exit42")
    address = host.start(bundle.path)
    with client.connect(address) as first, client.connect(address) as second:
        with ThreadPoolExecutor() as pool:
            pending = pool.submit(first.create, "h1", bundle.path)
            second.create("h2", other)
            second.start("h2")
            assert second.wait("h2").status == 42
            second.delete("h2")
            assert not pending.done()
            pipe.write_text("go\n")
            pending.result()
        assert first.state("h1").status == TaskStatus.CREATED
        first.delete("h1")
        first.shutdown()


def test_a_killed_shims_container_is_reported_as_stopped(host: ShimHost) -> None:
    bundle = Hooked(host, "sleep")
    with host.shim(bundle.path) as shim:
        shim.create("h1", bundle.path)
        shim.start("h1")
        os.kill(shim.connect("h1").shim_pid, signal.SIGKILL)
    host.command(bundle.path, "delete")
    host.command(bundle.path, "delete")
    until(lambda: bundle.kinds() == list(KINDS))
