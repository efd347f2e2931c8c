"""Published ports in Docker's short form: `[[ip:]host:]container[/protocol]`, ranges included.

Used by `wasmimg run -p` and by the `ports` of a Compose file.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from wasmimg_compose.container import Port
from wasmimg_images.errors import InvalidInput

HINT: Final = "write [IP:][HOST_PORT:]CONTAINER_PORT[/tcp|/udp], for example 127.0.0.1:8080:80"
RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
ANY: Final = "0.0.0.0"


class HostPorts:
    """Which ports of the host are spoken for, and by whom."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, str], dict[str, str]] = {}

    def take(self, port: Port, owner: str) -> str | None:
        """Note an owner; gives the one that has the port on the same address, or on every one.

        Port 0 is a free one each time.
        """
        if not port.host_port:
            return None
        owners = self._owners.setdefault((port.host_port, port.protocol), {})
        for address, other in owners.items():
            if ANY in {address, port.host_ip} or address == port.host_ip:
                return other
        owners[port.host_ip] = owner
        return None


def parse_port(text: str) -> tuple[Port, ...]:
    """Read one published port, or as many as its ranges span.

    Raises InvalidInput for anything else, and for ranges of different lengths.
    """
    body, _, protocol = text.partition("/")
    if protocol not in {"", "tcp", "udp"}:
        raise InvalidInput(f"port {text!r}: unknown protocol {protocol!r}", hint=HINT)
    address, host, container = _split(text, body)
    inside = _range(text, container)
    outside = _range(text, host) if host else [0] * len(inside)
    if len(outside) != len(inside):
        raise InvalidInput(f"port {text!r}: the two ranges differ in length", hint=HINT)
    return tuple(
        Port(target, published, address, "udp" if protocol == "udp" else "tcp")
        for published, target in zip(outside, inside, strict=True)
    )


def _split(text: str, body: str) -> tuple[str, str, str]:
    """Take apart address, host port and container port; an IPv6 address stands in brackets."""
    address = ANY
    if body.startswith("["):
        inside, bracket, body = body[1:].partition("]:")
        if not bracket:
            raise InvalidInput(f"port {text!r}: the bracket is not closed", hint=HINT)
        address = _address(text, inside)
    parts = body.split(":")
    match parts:
        case [container]:
            return address, "", container
        case [host, container]:
            return address, host, container
        case [ip, host, container]:
            return _address(text, ip), host, container
        case _:
            raise InvalidInput(f"port {text!r}: too many parts", hint=HINT)


def _address(text: str, address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise InvalidInput(f"port {text!r}: {address!r} is no IP address", hint=HINT) from None


def _range(text: str, part: str) -> list[int]:
    match = RANGE.fullmatch(part)
    if match is None:
        raise InvalidInput(f"port {text!r}: {part!r} is no port", hint=HINT)
    first = int(match.group(1))
    last = int(match.group(2) or first)
    if not 1 <= first <= last <= 65535:  # noqa: PLR2004 - the port space of TCP and UDP
        raise InvalidInput(f"port {text!r}: ports lie between 1 and 65535", hint=HINT)
    return list(range(first, last + 1))
