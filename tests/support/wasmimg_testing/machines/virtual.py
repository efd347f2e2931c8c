"""A Debian release as a system of its own: a kernel with cgroup v2 alone, and systemd, in qemu.

Its processor is emulated, since not every host's KVM can be relied on (WASMIMG_VM_ACCEL=kvm uses it):
everything takes ten times as long, so what runs in it is to be little. It has no network but the way
in; what it writes is gone when it ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from wasmimg_testing.machines import disk, installation, launchers, root, state
from wasmimg_testing.machines.docker import DockerClient
from wasmimg_testing.machines.machine import ENVIRONMENT, Commands
from wasmimg_testing.machines.release import VIRTUAL
from wasmimg_testing.waiting import free_port, until

if TYPE_CHECKING:
    from collections.abc import Generator

ACCELERATOR = "WASMIMG_VM_ACCEL"
MEMORY_MIB = 2048
#: seconds until somebody can log in; 25 on an idle host, more where it has other work
PATIENCE = 600
#: qemu 7.2 emulates cmpxchg16b wrongly: a kernel that allocates memory by it dies (double fault)
PROCESSOR = "max,-cx16,-la57"
KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet panic=-1"


class VirtualMachine(Commands):
    """A running machine, entered by ssh."""

    def __init__(self, folder: Path, files: Path, port: int) -> None:
        self.name = "virtual"
        self._options = [
            *("-F", "/dev/null", "-i", str(files / "key"), "-p", str(port), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={files}/known_hosts", "-o", "HostKeyAlias=vm"),
            *("-o", f"ControlPath={folder}/ssh", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"),
        ]

    def words(self, *words: str | Path, **environment: str) -> list[str]:
        """Word a command for the host that runs one in the machine."""
        env = [f"{name}={value}" for name, value in {**ENVIRONMENT, **environment}.items()]
        line = shlex.join(["env", "-i", *env, *map(str, words)])
        return ["ssh", *self._options, "root@127.0.0.1", line]

    def connection(self) -> list[str]:
        """Word the command that holds the one connection that all others use."""
        return ["ssh", "-M", "-N", *self._options, "root@127.0.0.1"]

    def read(self, path: str) -> str:
        """Give the text of a file."""
        done = self.run("cat", path)
        assert done.code == 0, done
        return done.out

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.run("sh", "-c", 'cat > "$1"', "write", path, stdin=text.encode()).well()


class VirtualDocker(DockerClient[VirtualMachine]):
    """Docker as a service of systemd."""

    def log(self) -> str:
        """Give what dockerd and containerd have written, and shims through them."""
        units = ("-u", "docker", "-u", "containerd")
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", *units).out

    def restart(self) -> None:
        """End dockerd and run it anew, with what is in daemon.json by now."""
        self.machine.run("systemctl", "restart", "docker", timeout=300).well()


@contextlib.contextmanager
def virtual_machine() -> Generator[VirtualMachine]:
    """Run the machine until the block ends; it ends with the calling thread at the latest."""
    files = disk.made(VIRTUAL)
    layer = installation.installed(root.made(VIRTUAL))
    with state.folder("virtual") as folder, contextlib.ExitStack() as stack:
        disk.of_folder(layer, folder / "layer.ext4")
        machine = VirtualMachine(folder, files, port := free_port())
        emulator = stack.enter_context(_running(_qemu(files, folder, port), folder / "log"))
        connection: subprocess.Popen[bytes] | None = None

        def entered() -> bool:
            nonlocal connection
            assert emulator.poll() is None, "qemu lives"
            if connection is None or connection.poll() is not None:
                connection = stack.enter_context(_running(machine.connection(), folder / "log"))
            return (folder / "ssh").exists()

        try:
            until(entered, "somebody can log in", PATIENCE)
        except AssertionError as error:
            said = "".join((folder / name).read_text() for name in ("log", "console"))
            raise AssertionError(f"{error}: {said[-3000:]}") from None
        yield machine


@contextlib.contextmanager
def virtual_docker() -> Generator[VirtualDocker]:
    """Run the machine, with our launchers on the PATH of its Docker, until the block ends."""
    with virtual_machine() as on:
        launchers.write(on)
        host = VirtualDocker(on)
        until(lambda: host.docker("version").code == 0, "dockerd answers", PATIENCE)
        yield host


def _qemu(files: Path, folder: Path, port: int) -> list[str]:
    network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"
    # What is written to a snapshot goes to a file without a name, which ends with qemu.
    options = "if=virtio,format=raw,snapshot=on"
    disks = (files / "disk.ext4", folder / "layer.ext4")
    drives = [word for path in disks for word in ("-drive", f"file={path},{options}")]
    return [
        *("qemu-system-x86_64", "-M", "q35", "-accel", os.environ.get(ACCELERATOR, "tcg")),
        *("-cpu", PROCESSOR, "-smp", str(min(2, os.cpu_count() or 1)), "-m", f"{MEMORY_MIB}M"),
        *("-nodefaults", "-display", "none", "-no-reboot", "-sandbox", "on"),
        *("-kernel", str(files / "vmlinuz"), "-initrd", str(files / "initrd"), "-append", KERNEL),
        *(*drives, "-netdev", network, "-device", "virtio-net-pci,netdev=net"),
        *("-device", "virtio-rng-pci", "-serial", f"file:{folder}/console"),
    ]


@contextlib.contextmanager
def _running(words: list[str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, or the calling thread."""
    tied = ["setpriv", "--pdeathsig", "KILL", "--"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*tied, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
