"""Debian releases that hosts are made of: which engines they have, and how their roots are made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from pathlib import Path
from typing import NamedTuple

MAKE_ROOT = Path(__file__).with_name("make-root.sh")
#: what wasmimg itself needs on a host (README.md), and what a look at a host needs
OURS = ("python3-venv", "libseccomp2", "runc", "nftables", "iproute2", "procps")


class Release(NamedTuple):
    """A release; `script` is debootstrap's, whose Debian 12 has none for later ones."""

    suite: str
    script: str
    packages: tuple[str, ...]

    def requirements(self) -> tuple[str, ...]:
        """Give wasmimg's dependencies, and theirs, in the versions that are installed for tests."""
        names = sorted(_needed("wasmimg") - {"wasmimg"})
        return tuple(f"{name}=={importlib.metadata.version(name)}" for name in names)

    def words(self, root: Path) -> list[str]:
        """Word the command that makes a root."""
        packages = " ".join((*OURS, *self.packages))
        requirements = " ".join(self.requirements())
        return [str(MAKE_ROOT), self.suite, self.script, str(root), packages, requirements]

    def recipe(self) -> str:
        """Give a name for everything that a root is made from."""
        words = "\0".join(self.words(Path("ROOT"))[1:])
        return hashlib.sha256(MAKE_ROOT.read_bytes() + words.encode()).hexdigest()[:16]


def _needed(package: str) -> set[str]:
    """Name a package and all that it needs, extras aside."""
    found = {package}
    for line in importlib.metadata.requires(package) or ():
        if "extra ==" not in line:
            found |= _needed(re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0])
    return found


#: containerd 1.6, runc 1.1
BOOKWORM = Release("bookworm", "bookworm", ("containerd", "iptables"))
_DOCKER = ("docker.io", "docker-cli", "docker-registry", "containerd", "iptables")
#: Docker 26.1, containerd 1.7, runc 1.1
TRIXIE = Release("trixie", "trixie", _DOCKER)
#: Docker 28.5, Compose 2.40, containerd 2.1, runc 1.3
FORKY = Release("forky", "sid", (*_DOCKER, "docker-compose"))
#: the same Docker as a system of its own: a kernel, systemd, and a way in
VIRTUAL = Release(
    "trixie",
    "trixie",
    (
        "docker.io",
        "docker-cli",
        "containerd",
        "iptables",
        "linux-image-cloud-amd64",
        "initramfs-tools",
        "systemd-sysv",
        "dbus",
        "udev",
        "openssh-server",
    ),
)
