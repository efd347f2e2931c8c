"""What a container may be asked for, whatever its image and its host: rules on a spec. Pure.

A rule raises InvalidInput. RULES goes by the keys of a Compose file, so that its reader can tell
where the value stands that is refused.
"""

from __future__ import annotations

import ipaddress
import math
import posixpath
import re
from typing import TYPE_CHECKING, Final

from wasmimg_compose import volumes
from wasmimg_compose.container import HOST, NONE
from wasmimg_compose.network import network
from wasmimg_compose.ports import HostPorts
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wasmimg_compose.container import ContainerSpec, Limits

    Rule = Callable[[ContainerSpec], None]

#: Docker's least memory limit, bytes: below it init itself is killed.
LEAST_MEMORY: Final = 6 << 20
#: Docker's least share; and as many processors as Linux can be built for (NR_CPUS).
LEAST_CPUS: Final = 0.01
MOST_CPUS: Final = 8192.0
#: A Wasm guest runs in a thread of its own, beside the one that waits for signals.
LEAST_WASM_PIDS: Final = 2
#: sethostname(2), __NEW_UTS_LEN; RFC 1035 2.3.4 for a name in the hosts file or in DNS.
LONGEST_HOSTNAME: Final = 64
LONGEST_NAME: Final = 253
#: RFC 1123 2.1, and the underscore, which Docker takes and Compose's service names have.
LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DOMAIN: Final = re.compile(rf"{LABEL}(?:\.{LABEL})*")
#: What the runtime mounts and fills itself; a mount over one would get its device nodes.
SYSTEM_TARGETS: Final = frozenset({"/", "/dev", "/proc", "/sys"})


def check(spec: ContainerSpec) -> None:
    """Refuse a spec that breaks a rule; InvalidInput."""
    for rule in RULES.values():
        rule(spec)
    check_limits(spec.limits)


def check_domain(name: str, longest: int = LONGEST_NAME) -> str:
    """Give a host name back; InvalidInput for what is none."""
    if len(name) > longest:
        raise InvalidInput(f"a host name of {len(name)} characters", hint=f"{longest} at most")
    if not DOMAIN.fullmatch(name):
        hint = "letters, digits, - and _ in parts of at most 63, dots between them"
        raise InvalidInput(f"{name!r} is no host name", hint=hint)
    return name


def check_limits(limits: Limits) -> None:
    """Refuse limits that no container can live with, or no kernel takes; InvalidInput."""
    memory, cpus, pids = limits
    if memory is not None and memory < LEAST_MEMORY:
        raise InvalidInput(
            f"a memory limit of {memory} bytes is too little",
            hint=f"{LEAST_MEMORY >> 20}m at least",
        )
    if cpus is not None and not (math.isfinite(cpus) and LEAST_CPUS <= cpus <= MOST_CPUS):
        raise InvalidInput(
            f"a limit of {cpus:g} processors", hint=f"{LEAST_CPUS} to {MOST_CPUS:.0f}"
        )
    if pids is not None and not 1 <= pids < 1 << 32:
        raise InvalidInput(
            f"a limit of {pids} processes can't be had", hint="1 at least; -1 is none"
        )


def check_wasm(spec: ContainerSpec) -> None:
    """Refuse what no Wasm image's container can live with; InvalidInput."""
    if spec.limits.pids is not None and spec.limits.pids < LEAST_WASM_PIDS:
        raise InvalidInput(
            f"a limit of {spec.limits.pids} processes is too little for a Wasm image",
            hint=f"{LEAST_WASM_PIDS} at least",
        )


def pids_limit(number: int) -> int | None:
    """Read a limit of processes as Docker does: 0 and -1 are none."""
    return None if number in {0, -1} else number


def normal(target: str) -> str:
    """Write a path in a container without `.`, `..` and doubled slashes; links aren't followed."""
    return posixpath.normpath("/" + target.lstrip("/"))


def check_target(target: str) -> None:
    """Refuse a mount on what the runtime makes itself; InvalidInput."""
    if normal(target) in SYSTEM_TARGETS:
        raise InvalidInput(
            f"nothing can be mounted on {normal(target)}",
            hint="every container has its own; name a path below it",
        )


def _texts(of: Callable[[ContainerSpec], Iterable[str]]) -> Rule:
    def rule(spec: ContainerSpec) -> None:
        for text in of(spec):
            # config.json is UTF-8, and execve(2) ends a string at its first zero byte.
            if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidInput(
                    f"{text!r}: neither a zero byte nor half a character can be passed on"
                )

    return rule


def _environment(spec: ContainerSpec) -> None:
    for name, _ in spec.env:
        if not name or "=" in name:
            raise InvalidInput(f"{name!r} is no name for a variable")
    _texts(lambda spec: [text for pair in spec.env for text in pair])(spec)


def _extra_hosts(spec: ContainerSpec) -> None:
    for name, address in spec.extra_hosts:
        check_domain(name)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise InvalidInput(f"host {name}: {address!r} is no IP address") from None


def _hostname(spec: ContainerSpec) -> None:
    if spec.hostname:
        check_domain(spec.hostname, LONGEST_HOSTNAME)


def _mounts(spec: ContainerSpec) -> None:
    seen = set[str]()
    for mount in spec.mounts:
        check_target(mount.target)
        if mount.kind == "volume" and mount.source:
            volumes.check_name(mount.source)
        if normal(mount.target) in seen:
            raise InvalidInput(
                f"two mounts on {normal(mount.target)}", hint="leave one of them out"
            )
        seen.add(normal(mount.target))


def _networks(spec: ContainerSpec) -> None:
    names = [attachment.network for attachment in spec.networks]
    for name in names:
        network.check_name(name)
        if name in {HOST, NONE} and len(names) > 1:
            raise InvalidInput(f"network {name} excludes every other one")
        if names.count(name) > 1:
            raise InvalidInput(f"network {name} is named twice")
    for attachment in spec.networks:
        if attachment.address is not None:
            network.check_address(attachment.address)
        for alias in attachment.aliases:
            check_domain(alias)


def _ports(spec: ContainerSpec) -> None:
    taken = HostPorts()
    for port in spec.ports:
        if ":" in port.host_ip:
            raise InvalidInput(f"port {port.host_port}: {port.host_ip} is no IPv4 address")
        if taken.take(port, "") is not None:
            raise InvalidInput(f"host port {port.host_port}/{port.protocol} is published twice")


def _working_dir(spec: ContainerSpec) -> None:
    if spec.workdir and not spec.workdir.startswith("/"):
        raise InvalidInput(f"working directory {spec.workdir!r} is not absolute")
    _texts(lambda spec: [spec.workdir or ""])(spec)


RULES: Final[Mapping[str, Rule]] = {
    "command": _texts(lambda spec: spec.command or ()),
    "entrypoint": _texts(lambda spec: spec.entrypoint or ()),
    "environment": _environment,
    "extra_hosts": _extra_hosts,
    "hostname": _hostname,
    "labels": _texts(lambda spec: [text for pair in spec.labels for text in pair]),
    "networks": _networks,
    "ports": _ports,
    "user": _texts(lambda spec: [spec.user or ""]),
    "volumes": _mounts,
    "working_dir": _working_dir,
}
