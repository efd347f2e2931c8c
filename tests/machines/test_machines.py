"""Test machines do not know of each other, and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wasmimg_testing.machines import FORKY, TRIXIE, docker_host, machine, root
from wasmimg_testing.waiting import until

LOOKS = {
    "interfaces": ("ip", "-brief", "link"),
    "addresses": ("ip", "-brief", "address"),
    "routes": ("ip", "route"),
    "nft rules": ("nft", "list", "ruleset"),
    "network namespaces": ("ip", "netns", "list"),
}
FILES = {
    "mounts": "/proc/self/mountinfo",
    "forwarding": "/proc/sys/net/ipv4/ip_forward",
    "sockets": "/proc/net/unix",
}


def snapshot(mark: str) -> dict[str, list[str]]:
    """Everything of the host that a machine could change; of busy lists what has the mark."""
    found = {name: _lines(*words) for name, words in LOOKS.items()}
    for name, path in FILES.items():
        found[name] = [line for line in _read(path) if name != "sockets" or mark in line]
    found["cgroups"] = [str(p) for p in Path("/sys/fs/cgroup").glob(f"*/{mark}*")]
    found["folders"] = [str(p) for p in (root.cache() / "state").glob(f"{mark}*")]
    found["namespaces"] = sorted(_foreign_namespaces(mark))
    return found


def added(before: dict[str, list[str]], now: dict[str, list[str]]) -> dict[str, set[str]]:
    """Name what was not there before."""
    return {name: new for name, lines in now.items() if (new := set(lines) - set(before[name]))}


def _lines(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "table " not in line]


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _foreign_namespaces(mark: str) -> set[str]:
    """Find processes in a machine's cgroup."""
    return {
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and mark in _cgroup(entry)
    }


def _cgroup(process: Path) -> str:
    try:
        return (process / "cgroup").read_text()
    except OSError:
        return ""


def test_a_machine_leaves_nothing(roots: None, archive: Path) -> None:
    mark = f"wasmimg-{FORKY.suite}-{os.getpid()}-"
    before = snapshot(mark)
    with docker_host(FORKY) as host:
        host.load(archive)
        host.run("-d", "-p", "80:80", "test/sleep").well()
        assert {"cgroups", "folders", "namespaces"} <= set(added(before, snapshot(mark)))
    until(lambda: not added(before, snapshot(mark)), f"{added(before, snapshot(mark))}", 20)


_KILLED = """
import os, signal, sys
from wasmimg_testing.machines import FORKY, docker_host
with docker_host(FORKY) as host:
    host.load(__import__("pathlib").Path(sys.argv[1]))
    host.run("-d", "test/sleep").well()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_test_leaves_nothing_that_runs_nor_lasts(roots: None, archive: Path) -> None:
    support = str(Path(__file__).parents[1] / "support")
    environment = {**os.environ, "PYTHONPATH": support}
    words = [sys.executable, "-c", _KILLED, str(archive)]
    killed = subprocess.Popen(words, env=environment)
    assert killed.wait(120) == -signal.SIGKILL
    mark = f"wasmimg-{FORKY.suite}-{killed.pid}-"
    until(lambda: not snapshot(mark)["namespaces"], "its processes have ended", 20)
    with machine(FORKY):
        assert (snapshot(mark)["cgroups"], snapshot(mark)["folders"]) == ([], [])


@pytest.mark.slow
def test_two_machines_run_side_by_side(roots: None, archive: Path) -> None:
    with docker_host(FORKY) as one, docker_host(TRIXIE) as other:
        for host in (one, other):
            host.load(archive)
            host.run("-d", "--name", "same", "-p", "8000:8000", "test/sleep").well()
        for host in (one, other):
            assert host.docker("ps", "--format", "{{.Names}}").well() == "same"
