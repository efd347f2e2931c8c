"""The three files that tell a container about its network: hosts, resolv.conf and hostname.

They are the host's, bound over the image's, as with every container engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose.bundle import BindMount

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMES: Final = ("hosts", "resolv.conf", "hostname")
#: Where the supervisor answers in every namespace that has a network (dns.py).
RESPONDER: Final = "127.0.0.11"
#: systemd-resolved keeps the real servers here; its own 127.0.0.53 is the host's alone.
RESOLV_CONFS: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
LOCALHOST: Final = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class HostFiles(NamedTuple):
    """What the files say: addresses and names, and whether our responder is asked for others."""

    hostname: str
    entries: Sequence[tuple[str, str]] = ()
    responder: bool = False

    def hosts(self) -> str:
        """Write /etc/hosts; `entries` are pairs of address and names."""
        return LOCALHOST + "".join(f"{address}\t{names}\n" for address, names in self.entries)

    def resolv_conf(self, host: str) -> str:
        """Write /etc/resolv.conf, search domains and options as the host's."""
        if not self.responder:
            return host
        kept = [line for line in host.splitlines() if line.split()[:1] in (["search"], ["domain"])]
        return "\n".join([f"nameserver {RESPONDER}", *kept, "options ndots:0", ""])

    def write(self, folder: Path) -> None:
        """Write the files into a container's folder."""
        contents = (self.hosts(), self.resolv_conf(read_resolv_conf()), f"{self.hostname}\n")
        for name, content in zip(NAMES, contents, strict=True):
            path = folder / name
            path.write_text(content)
            path.chmod(0o644)


def mounts(folder: Path) -> list[BindMount]:
    """Say where the files of a container's folder belong."""
    return [BindMount(str(folder / name), f"/etc/{name}") for name in NAMES]


def nameservers(text: str) -> list[str]:
    """List the servers that a resolv.conf names (resolv.conf(5))."""
    lines = (line.split() for line in text.splitlines())
    return [line[1] for line in lines if len(line) > 1 and line[0] == "nameserver"]


def upstream(paths: Iterable[Path] = RESOLV_CONFS) -> list[str]:
    """List the host's servers that can be asked from anywhere but the host's own loopback.

    Where the host has nothing but a stub on its loopback, that is what there is: the supervisor
    asks from the host's namespace.
    """
    last: list[str] = []
    for path in paths:
        try:
            found = nameservers(path.read_text())
        except OSError:
            continue
        last = found or last
        if any(not server.startswith("127.") for server in found):
            return found
    return last


def read_resolv_conf() -> str:
    """Read the host's resolv.conf; an absent one is empty."""
    try:
        return RESOLV_CONFS[0].read_text()
    except OSError:
        return ""
