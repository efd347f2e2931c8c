"""A bridge network and who is on it: values, and their form on disk."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose.container_document import read_port
from wasmimg_images.errors import HostError, InvalidInput

if TYPE_CHECKING:
    from wasmimg_compose.container import Port
    from wasmimg_compose.fields import Fields

#: As long as its file's name may be, with room for what is put behind it.
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


def check_name(name: str) -> str:
    """Give a network's name back; InvalidInput for what is none."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:40]!r}{'…' if name[40:] else ''} is no name for a network",
            hint="letters, digits, _ . and -, at most 128, a letter or digit first",
        )
    return name


def check_address(address: str, subnet: str | None = None) -> str:
    """Give a container's address back; InvalidInput if it is none, or none for hosts of `subnet`."""
    try:
        found = ipaddress.IPv4Address(address)
    except ValueError:
        raise InvalidInput(f"{address!r} is no IPv4 address") from None
    if subnet is None:
        return str(found)
    outer = ipaddress.IPv4Network(subnet)
    # The first one is the host's own, the last one everybody's.
    if found not in outer:
        raise InvalidInput(f"{address} is not in {subnet}")
    if not outer.network_address + 1 < found < outer.broadcast_address:
        raise InvalidInput(f"{address} is no container's in {subnet}")
    return str(found)


class Member(NamedTuple):
    """A container on a network: its address, its names there, the ports published through it."""

    container: str
    address: str
    link: str
    names: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()

    @property
    def hardware_address(self) -> str:
        """A MAC that follows from the address: neighbours never hold an outdated pair."""
        return "02:57:" + ":".join(
            f"{byte:02x}" for byte in ipaddress.IPv4Address(self.address).packed
        )


class Network(NamedTuple):
    """A bridge with a private subnet. An `automatic` one goes when its last member leaves."""

    name: str
    bridge: str
    subnet: str
    internal: bool = False
    automatic: bool = False
    project: str = ""
    members: tuple[Member, ...] = ()

    @property
    def _range(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self.subnet)

    @property
    def gateway(self) -> str:
        """The host's address on the bridge: the first of the subnet."""
        return str(self._range.network_address + 1)

    @property
    def prefix(self) -> int:
        """The length of the subnet's mask in bits."""
        return self._range.prefixlen

    def member(self, container: str) -> Member | None:
        """Find a container's entry."""
        return next((m for m in self.members if m.container == container), None)

    def without(self, container: str) -> Network:
        """The network as it is once a container has left."""
        left = tuple(m for m in self.members if m.container != container)
        return self._replace(members=left)

    def free_address(self, asked: str | None = None) -> str:
        """Pick the lowest free address, or check the one asked for; HostError, InvalidInput."""
        taken = {self.gateway, *(member.address for member in self.members)}
        if asked is not None:
            if check_address(asked) in taken:
                raise HostError(f"network {self.name}: address {asked} is taken")
            return check_address(asked, self.subnet)
        for address in self._range.hosts():
            if str(address) not in taken:
                return str(address)
        raise HostError(f"network {self.name}: all addresses of {self.subnet} are taken")


def read_network(fields: Fields) -> Network:
    """Read what fields.plain() made of a network."""
    return Network(
        name=fields.text("name"),
        bridge=fields.text("bridge"),
        subnet=fields.text("subnet"),
        internal=fields.flag("internal"),
        automatic=fields.flag("automatic"),
        project=fields.text("project"),
        members=tuple(
            Member(
                member.text("container"),
                member.text("address"),
                member.text("link"),
                member.texts("names"),
                tuple(read_port(port) for port in member.objects("ports")),
            )
            for member in fields.objects("members")
        ),
    )
