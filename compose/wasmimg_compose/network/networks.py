"""All networks of one home: made, joined, left, removed, each under its lock.

A network's file is written before the host is changed, so that whatever was begun can be found and
taken down. It lives in the run folder: a reboot takes the file with the bridge.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import ipaddress
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose.fields import Fields, plain
from wasmimg_compose.network import plan, pool
from wasmimg_compose.network.effects import Effects, HostEffects
from wasmimg_compose.network.network import Member, Network, check_name, read_network
from wasmimg_compose.record import Endpoint
from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from wasmimg_compose.container import Attachment, Port
    from wasmimg_images.home import Home

#: Linux: IFNAMSIZ less the terminating zero.
INTERFACE_NAME: Final = 15


class Networks(NamedTuple):
    """The networks of a home."""

    root: Path
    namespaces: Path
    effects: Effects

    @classmethod
    def of(cls, home: Home, effects: Effects | None = None) -> Networks:
        """Take the home's networks."""
        return cls(home.run / "networks", home.run / "netns", effects or HostEffects())

    # -- networks

    def ensure(
        self,
        name: str,
        *,
        internal: bool = False,
        subnet: str | None = None,
        project: str = "",
        automatic: bool = False,
    ) -> Network:
        """Make a bridge network unless there is one of that name; HostError, InvalidInput."""
        with self._locked():
            return self._ensure(Network(name, "", subnet or "", internal, automatic, project))

    def remove(self, name: str) -> bool:
        """Remove a network nobody is on; False if there is none. InvalidInput if it is in use."""
        with self._locked():
            network = self._find(name)
            if network is None:
                return False
            if network.members:
                raise InvalidInput(f"network {name} has {len(network.members)} containers on it")
            self._take_down(network)
            return True

    def prune(self, exists: Callable[[str], bool]) -> None:
        """Take down what killed commands left: members that don't exist, networks without any."""
        orphans: set[str] = set()
        with self._locked():
            for network in self.all():
                orphans.update(m.container for m in network.members if not exists(m.container))
                if network.automatic and not network.members:
                    self._take_down(network)
        for container in orphans:
            self.disconnect(container)

    def all(self) -> list[Network]:
        """Every network, by name."""
        names = sorted(path.stem for path in self.root.glob("*.json"))
        found = [self._find(name) for name in names]
        return [network for network in found if network is not None]

    def bridge(self, name: str) -> str:
        """Name a network's bridge, and with it its firewall table, whether there is one or not."""
        return f"wi{_digest(str(self.root), name)}"

    def get(self, name: str) -> Network:
        """Look a network up; NotFound."""
        network = self._find(name)
        if network is None:
            raise NotFound(f"no such network: {name}")
        return network

    # -- members

    def namespace(self, container: str) -> Path:
        """Where a container's network namespace is held."""
        return self.namespaces / container

    def connect(
        self,
        container: str,
        attachments: Sequence[Attachment],
        names: Sequence[str],
        ports: Sequence[Port],
    ) -> tuple[Endpoint, ...]:
        """Make the container's namespace and put it on its networks, the first with the ports.

        On failure nothing of it is left.
        """
        namespace = self.namespace(container)
        endpoints: list[Endpoint] = []
        try:
            self.effects.execute([plan.MakeNamespace(namespace)])
            for place, attachment in enumerate(attachments):
                published = tuple(ports) if place == 0 else ()
                endpoints.append(self._join(container, attachment, names, published, place))
        except BaseException:
            self.disconnect(container)
            raise
        return tuple(endpoints)

    def disconnect(self, container: str) -> None:
        """Take a container off all its networks and drop its namespace, as far as there is any."""
        with self._locked():
            for network in self.all():
                member = network.member(container)
                if member is None:
                    continue
                rest = network.without(container)
                self.effects.execute(plan.leave(rest, member))
                if rest.automatic and not rest.members:
                    self._take_down(rest)
                else:
                    self._save(rest)
        if self.namespace(container).exists():
            self.effects.execute([plan.DropNamespace(self.namespace(container))])

    def _join(
        self,
        container: str,
        attachment: Attachment,
        names: Sequence[str],
        ports: tuple[Port, ...],
        place: int,
    ) -> Endpoint:
        with self._locked():
            # What nobody made by name goes with its last member: nobody would remove it either.
            network = self._ensure(Network(attachment.network, "", "", automatic=True))
            member = Member(
                container,
                network.free_address(attachment.address),
                f"ve{_digest(str(self.root), network.name, container)}",
                (*names, *attachment.aliases),
                ports,
            )
            network = network._replace(members=(*network.members, member))
            self._save(network)
            interface = f"eth{place}"
            self.effects.execute(
                plan.join(network, member, self.namespace(container), interface, first=place == 0)
            )
        return Endpoint(
            network.name,
            member.address,
            network.prefix,
            network.gateway,
            interface,
            member.link,
            member.names,
        )

    # -- the files

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        make_private(self.root)
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        # Programs that we run have it too: if we are killed, who cleans up waits for their end.
        os.set_inheritable(handle, True)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _ensure(self, asked: Network) -> Network:
        """Give the network of that name, up; a new one gets the bridge and subnet it lacks."""
        network = self._find(asked.name)
        if network is not None and _is_there(network.bridge):
            return network
        if network is None:
            network = self._placed(asked)
        self._save(network)
        try:
            self.effects.execute(plan.make_network(network))
        except BaseException:
            self._take_down(network)
            raise
        return network

    def _placed(self, asked: Network) -> Network:
        check_name(asked.name)
        bridge = self.bridge(asked.name)
        taken = [ipaddress.IPv4Network(network.subnet) for network in self.all()]
        taken += pool.routed(Path("/proc/net/route").read_text())
        chosen = pool.check(asked.subnet, taken) if asked.subnet else pool.choose(bridge, taken)
        return asked._replace(bridge=bridge, subnet=str(chosen))

    def _file(self, name: str) -> Path:
        return self.root / f"{name}.json"

    def _find(self, name: str) -> Network | None:
        path = self._file(name)
        try:
            return read_network(Fields.parse(path.read_bytes(), str(path)))
        except FileNotFoundError:
            return None

    def _save(self, network: Network) -> None:
        target = self._file(network.name)
        draft = target.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(plain(network)))
        draft.replace(target)

    def _take_down(self, network: Network) -> None:
        self.effects.execute(plan.drop_network(network))
        self._file(network.name).unlink(missing_ok=True)


def _is_there(interface: str) -> bool:
    """Tell whether our network namespace has an interface; /sys may show another one's."""
    try:
        return socket.if_nametoindex(interface) > 0
    except OSError:
        return False


def _digest(*parts: str) -> str:
    """Give thirteen digits that follow from the parts: with two letters an interface's name."""
    joined = "\0".join(parts).encode()
    return hashlib.sha256(joined).hexdigest()[: INTERFACE_NAME - 2]
