"""The first process of a machine: it makes the machine's file system and then reaps.

Run as a program by `machine`, in new namespaces of every kind but user: `boot.py STATE LAYER...`.
STATE is a folder for what the machine writes; the layers, topmost first, stay as they are. All is
imported before the root is left, so nothing of the machine's own Python is used.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from wasmimg_shim.linux import libc

#: what engines keep images and layers in: overlayfs does not lie on overlayfs
DATA = ("var/lib/docker", "var/lib/containerd", "var/lib/wasmimg")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun", "kmsg")


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def build(state: Path, layers: list[str]) -> Path:
    """Lay out the machine's tree; gives where it is mounted."""
    machine = state / "root"
    for folder in (machine, state / "upper", state / "work"):
        folder.mkdir()
    options = f"lowerdir={':'.join(layers)},upperdir={state}/upper,workdir={state}/work"
    mount("-t", "overlay", "-o", options, "machine", machine)
    for name in DATA:
        (state / name).mkdir(parents=True)
        (machine / name).mkdir(parents=True, exist_ok=True)
        mount("--bind", state / name, machine / name)
    mount("-t", "proc", "proc", machine / "proc")
    mount("-t", "sysfs", "sysfs", machine / "sys")
    for name in ("run", "tmp"):
        mount(
            "-t", "tmpfs", "-o", "mode=1777" if name == "tmp" else "mode=755", name, machine / name
        )
    _devices(machine / "dev")
    _cgroups(machine / "sys/fs/cgroup")
    (machine / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (machine / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    return machine


def _devices(folder: Path) -> None:
    mount("-t", "tmpfs", "-o", "mode=755", "dev", folder)
    for name in DEVICES:
        host = Path("/dev", name)
        if host.exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
            mount("--bind", host, folder / name)
    for name, options in (("pts", "newinstance,ptmxmode=666,mode=620"), ("shm", "mode=1777")):
        (folder / name).mkdir()
        kind = "devpts" if name == "pts" else "tmpfs"
        mount("-t", kind, "-o", options, name, folder / name)
    (folder / "mqueue").mkdir()
    mount("-t", "mqueue", "mqueue", folder / "mqueue")
    for name, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        (folder / name).symlink_to(target)


def _cgroups(folder: Path) -> None:
    """Mount every v1 hierarchy that the host has, from the machine's own cgroup downwards.

    The v2 one is left out: what is then there is pure v1, which every engine knows.
    """
    mount("-t", "tmpfs", "-o", "mode=755", "cgroup", folder)
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, _ = line.split(":", 2)
        if number == "0":
            continue
        name = names.removeprefix("name=")
        (folder / name).mkdir()
        mount("-t", "cgroup", "-o", names, "cgroup", folder / name)


def enter(machine: Path) -> None:
    """Make the tree the root of this mount namespace, and forget the host's (pivot_root(2))."""
    os.chdir(machine)
    libc.pivot_root(".", ".")
    libc.umount2(".", libc.MNT_DETACH)
    os.chdir("/")
    # As an init system does: what containers are given with rslave or rshared has an effect.
    libc.mount("", "/", "", libc.MS_REC | libc.MS_SHARED, "")


def reap() -> None:
    """Wait for children that lost their parent, until this process is killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.sigwait({signal.SIGCHLD})


def main() -> None:
    state, *layers = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    enter(build(Path(state), layers))
    print("ready", flush=True)
    reap()


main()
