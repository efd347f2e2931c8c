"""A network's packet rules as one nftables table, written whole from the network's value.

Replacing a table is one transaction, so the rules always are what the network's record says, and a
killed command leaves the old ones or the new ones. Source: nft(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_compose.container import Port
    from wasmimg_compose.network.network import Network

ANY_ADDRESS = "0.0.0.0"


def table(network: Network) -> str:
    """Name the network's table."""
    return f"wasmimg-{network.bridge}"


def replace(network: Network) -> str:
    """Write the table anew, whether it is there or not."""
    name, bridge, subnet = table(network), network.bridge, network.subnet
    published = "\n".join(f"    {rule}" for rule in _published(network))
    outward = (
        f'iifname "{bridge}" oifname != "{bridge}" drop'
        if network.internal
        else "# packets of the containers may leave"
    )
    masquerade = (
        "# an internal network's packets never leave"
        if network.internal
        else f'ip saddr {subnet} oifname != "{bridge}" masquerade'
    )
    return f"""\
{drop(network)}table ip {name} {{
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain published {{
{published}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump published
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump published
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
    ip saddr {subnet} oifname "{bridge}" ct status dnat masquerade
    {masquerade}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    {outward}
    iifname != "{bridge}" oifname "{bridge}" ct state established,related accept
    iifname != "{bridge}" oifname "{bridge}" ct status dnat accept
    iifname != "{bridge}" oifname "{bridge}" drop
  }}
}}
"""


def drop(network: Network) -> str:
    """Remove the table, whether it is there or not."""
    return f"add table ip {table(network)}\ndelete table ip {table(network)}\n"


def _published(network: Network) -> Iterator[str]:
    for member in network.members:
        for port in member.ports:
            yield f"{_destination(port)} dnat to {member.address}:{port.container_port}"


def _destination(port: Port) -> str:
    where = "fib daddr type local" if port.host_ip == ANY_ADDRESS else f"ip daddr {port.host_ip}"
    return f"{where} {port.protocol} dport {port.host_port}"
