"""The `networks`, `network_mode` and `extra_hosts` of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmimg_compose.container import HOST, NONE, Attachment
from wasmimg_compose.document import read
from wasmimg_compose.network.network import check_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_compose.document import Node
    from wasmimg_compose.model import Network


def networks_of(
    name: str, fields: Mapping[str, Node], networks: Mapping[str, Network]
) -> tuple[Attachment, ...]:
    """Read the networks that the service called `name` is on; none named is the default one."""
    if "network_mode" in fields:
        node = fields["network_mode"]
        if "networks" in fields:
            raise node.error("stands beside networks; use one of the two")
        if node.text() not in {HOST, NONE, "bridge"}:
            raise node.error(f"{node.text()!r} is none of host, none, bridge")
        return (Attachment(node.text()),)
    node_networks = fields.get("networks")
    if node_networks is None or node_networks.value is None:
        return (Attachment(networks["default"].name, (name,)),)
    if not isinstance(node_networks.value, dict):
        return tuple(
            Attachment(_network(item, item.text(), networks), (name,))
            for item in node_networks.sequence()
        )
    out: list[Attachment] = []
    for key, value in node_networks.value.items():
        inner = value.mapping(("aliases", "ipv4_address"))
        aliases = inner["aliases"].texts() if "aliases" in inner else ()
        network = _network(value, key, networks)
        address = _address(inner.get("ipv4_address"), networks[key])
        out.append(Attachment(network, (name, *aliases), address))
    return tuple(out)


def _address(node: Node | None, network: Network) -> str | None:
    if node is None:
        return None
    if network.subnet is None and not network.external:
        raise node.error("the network has no subnet", hint="give it one below the file's networks")
    return read(node, lambda text: check_address(text, network.subnet))


def _network(node: Node, key: str, networks: Mapping[str, Network]) -> str:
    if key not in networks:
        raise node.error(f"no network is called {key!r}", hint="name it below the file's networks")
    return networks[key].name


def extra_hosts_of(node: Node | None) -> tuple[tuple[str, str], ...]:
    """Read a mapping of names to addresses, or a list of `name=address` or `name:address`."""
    if node is None:
        return ()
    if isinstance(node.value, dict):
        return tuple((name, value.text()) for name, value in node.value.items())
    found: list[tuple[str, str]] = []
    for item in node.sequence():
        text = item.text()
        name, separator, address = text.partition("=" if "=" in text else ":")
        if not separator:
            raise item.error(f"{text!r} is not NAME=ADDRESS")
        found.append((name, address))
    return tuple(found)
