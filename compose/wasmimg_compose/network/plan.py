"""What to do to the host for a network or a member: operations as values, in order.

`describe()` says it in words, effects.py does it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_compose.network import firewall

if TYPE_CHECKING:
    from wasmimg_compose.network.network import Member, Network


class MakeNamespace(NamedTuple):
    """Make a network namespace held by a mount."""

    path: Path

    def describe(self) -> str:
        """Say it in words."""
        return f"make network namespace {self.path}"


class DropNamespace(NamedTuple):
    """Let go of a network namespace."""

    path: Path

    def describe(self) -> str:
        """Say it in words."""
        return f"drop network namespace {self.path}"


class Ip(NamedTuple):
    """One command of ip(8), inside a namespace or on the host; `may_fail` if done already."""

    command: str
    namespace: Path | None = None
    may_fail: bool = False

    def describe(self) -> str:
        """Say it in words."""
        return f"ip {self.command}" + (f" (in {self.namespace})" if self.namespace else "")


class Nft(NamedTuple):
    """One transaction of nft(8)."""

    script: str

    def describe(self) -> str:
        """Say it in words."""
        return f"nft {self.script.splitlines()[0]} …"


class Sysctl(NamedTuple):
    """One kernel setting below /proc/sys."""

    path: str
    value: str

    def describe(self) -> str:
        """Say it in words."""
        return f"sysctl {self.path}={self.value}"


Operation = MakeNamespace | DropNamespace | Ip | Nft | Sysctl


def make_network(network: Network) -> list[Operation]:
    """Make the bridge, its address and its rules.

    ip_forward is host-wide and stays on, as with every container engine: others may have come to
    rely on it. route_localnet lets 127.0.0.1's published ports reach the bridge; the table's guard
    keeps the containers from using it the other way round.
    """
    bridge = network.bridge
    return [
        Ip(f"link add {bridge} type bridge"),
        Ip(f"address add {network.gateway}/{network.prefix} dev {bridge}"),
        Ip(f"link set {bridge} up"),
        Sysctl(f"net/ipv4/conf/{bridge}/route_localnet", "1"),
        *(() if network.internal else (Sysctl("net/ipv4/ip_forward", "1"),)),
        Nft(firewall.replace(network)),
    ]


def drop_network(network: Network) -> list[Operation]:
    """Remove what make_network() made, as far as it is there."""
    return [
        Nft(firewall.drop(network)),
        Ip(f"link delete {network.bridge}", may_fail=True),
    ]


def join(
    network: Network, member: Member, namespace: Path, interface: str, *, first: bool
) -> list[Operation]:
    """Put a container on the network; with its `first` one come loopback and the default route."""
    inside = [
        *((Ip("link set lo up", namespace),) if first else ()),
        Ip(f"address add {member.address}/{network.prefix} dev {interface}", namespace),
        Ip(f"link set {interface} up", namespace),
    ]
    if first and not network.internal:
        inside.append(Ip(f"route add default via {network.gateway}", namespace))
    return [
        Ip(
            f"link add {member.link} up master {network.bridge} type veth"
            f" peer name {interface} address {member.hardware_address} netns {namespace}"
        ),
        # A container may call itself by a port that it publishes.
        Ip(f"link set {member.link} type bridge_slave hairpin on"),
        *inside,
        *((Nft(firewall.replace(network)),) if member.ports else ()),
    ]


def leave(network: Network, member: Member) -> list[Operation]:
    """Take a container off the network, as far as it is on it; `network` is without it already."""
    return [
        Ip(f"link delete {member.link}", may_fail=True),
        *((Nft(firewall.replace(network)),) if member.ports else ()),
    ]
