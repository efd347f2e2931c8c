"""Networks: addresses chosen, plans made, records kept, with the host's part recorded instead of done."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose.container import Attachment, Port
from wasmimg_compose.network import firewall, plan, pool
from wasmimg_compose.network.network import Member, Network
from wasmimg_compose.network.networks import Networks
from wasmimg_images.errors import HostError, InvalidInput, NotFound

NETWORK = Network("shop", "wi123", "10.200.4.0/22")
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
wi0\t0000900A\t00000000\t0001\t0\t0\t0\t00FCFFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


class Recorder:
    """Keeps what it is asked to do; fails at the operation that `refuses` names."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refuses = ""

    def execute(self, plan: Iterable[plan.Operation]) -> None:
        for operation in plan:
            self.done.append(operation.describe())
            if self.refuses and self.refuses in self.done[-1]:
                raise HostError(f"refused: {self.done[-1]}")


def networks(tmp_path: Path) -> tuple[Networks, Recorder]:
    recorder = Recorder()
    return Networks(tmp_path / "networks", tmp_path / "netns", recorder), recorder


def test_the_hosts_routes_are_read() -> None:
    assert [str(found) for found in pool.routed(ROUTES)] == ["10.144.0.0/22", "192.0.2.0/24"]


@given(st.text(), st.lists(st.integers(0, 8191), max_size=6))
def test_a_chosen_range_is_free(name: str, places: list[int]) -> None:
    taken = [
        ipaddress.IPv4Network((int(pool.POOL.network_address) + place * 1024, pool.PREFIX))
        for place in places
    ]
    found = pool.choose(name, taken)
    assert found.subnet_of(pool.POOL)
    assert not any(found.overlaps(other) for other in taken)


def test_a_range_that_the_host_uses_is_refused() -> None:
    with pytest.raises(HostError, match=r"192\.0\.2\.0/25: this host has a route"):
        pool.check("192.0.2.0/25", pool.routed(ROUTES))
    with pytest.raises(HostError, match="no free address range"):
        pool.choose("x", [ipaddress.IPv4Network("10.0.0.0/8")])
    with pytest.raises(InvalidInput, match="subnet x"):
        pool.check("x", [])


def test_addresses_are_given_out_from_the_lowest() -> None:
    assert NETWORK.gateway == "10.200.4.1"
    assert NETWORK.free_address() == "10.200.4.2"
    first = Member("a", "10.200.4.2", "ve1")
    assert NETWORK._replace(members=(first,)).free_address() == "10.200.4.3"
    assert first.hardware_address == "02:57:0a:c8:04:02"
    with pytest.raises(HostError, match="is taken"):
        NETWORK.free_address("10.200.4.1")
    with pytest.raises(InvalidInput, match=r"is not in 10\.200\.4\.0/22"):
        NETWORK.free_address("10.9.9.9")


def test_published_ports_become_rules() -> None:
    ports = (Port(80, 8080), Port(53, 5353, "127.0.0.1", "udp"))
    rules = firewall.replace(
        NETWORK._replace(members=(Member("a", "10.200.4.2", "ve1", (), ports),))
    )
    assert "fib daddr type local tcp dport 8080 dnat to 10.200.4.2:80" in rules
    assert "ip daddr 127.0.0.1 udp dport 5353 dnat to 10.200.4.2:53" in rules
    assert 'ip saddr 10.200.4.0/22 oifname != "wi123" masquerade' in rules
    assert rules.startswith("add table ip wasmimg-wi123\ndelete table ip wasmimg-wi123\n")


def test_an_internal_network_reaches_nothing_outside() -> None:
    internal = NETWORK._replace(internal=True)
    rules = firewall.replace(internal)
    assert 'iifname "wi123" oifname != "wi123" drop' in rules
    assert 'oifname != "wi123" masquerade' not in rules
    member = Member("a", "10.200.4.2", "ve1")
    steps = plan.join(internal, member, Path("/n"), "eth0", first=True)
    assert not any("default" in step.describe() for step in steps)
    assert not any("ip_forward" in step.describe() for step in plan.make_network(internal))


@pytest.mark.parametrize("name", ["bridge", "any-other"])
def test_a_container_joins_and_leaves(tmp_path: Path, name: str) -> None:
    ours, recorder = networks(tmp_path)
    (endpoint,) = ours.connect("c1", [Attachment(name, ("db",))], ["web"], [Port(80, 8080)])
    assert endpoint.names == ("web", "db")
    assert recorder.done[0] == f"make network namespace {tmp_path}/netns/c1"
    assert any("peer name eth0" in step for step in recorder.done)
    assert any("route add default" in step for step in recorder.done)
    ours.disconnect("c1")
    assert ours.all() == []
    assert recorder.done[-1].startswith("ip link delete wi")


def test_a_made_network_stays_when_its_last_member_leaves(tmp_path: Path) -> None:
    ours, _ = networks(tmp_path)
    made = ours.ensure("shop", subnet="10.77.0.0/24", project="shop")
    (endpoint,) = ours.connect("c1", [Attachment("shop")], ["web"], [])
    assert endpoint.address == "10.77.0.2"
    with pytest.raises(InvalidInput, match="has 1 containers on it"):
        ours.remove("shop")
    ours.disconnect("c1")
    assert ours.get("shop") == made
    assert ours.remove("shop")
    assert not ours.remove("shop")
    with pytest.raises(NotFound, match="no such network: shop"):
        ours.get("shop")


@pytest.mark.parametrize("step", ["link add ve", "namespace", "address add", "nft"])
def test_a_failed_connection_leaves_no_member(tmp_path: Path, step: str) -> None:
    ours, recorder = networks(tmp_path)
    recorder.refuses = step
    with pytest.raises(HostError, match="refused"):
        recorder_then_heal(ours, recorder)
    assert all(network.member("c1") is None for network in ours.all())


def recorder_then_heal(ours: Networks, recorder: Recorder) -> None:
    """Refuse once: what cleans up afterwards must not fail for the same reason."""
    refuses, execute = recorder.refuses, recorder.execute

    def once(plan: Iterable[plan.Operation]) -> None:
        try:
            execute(plan)
        except HostError:
            recorder.refuses = ""
            raise

    recorder.execute = once  # type: ignore[method-assign]  # the fault is injected here
    assert refuses
    ours.connect("c1", [Attachment("bridge")], ["web"], [Port(80, 8080)])


def test_leftover_networks_are_pruned(tmp_path: Path) -> None:
    ours, recorder = networks(tmp_path)
    ours.ensure("bridge", automatic=True)
    ours.ensure("shop")
    ours.connect("gone", [Attachment("shop"), Attachment("other")], ["web"], [])
    ours.connect("here", [Attachment("shop")], ["web"], [])
    ours.prune(lambda container: container == "here")
    (left,) = ours.all()
    assert [left.name, *(member.container for member in left.members)] == ["shop", "here"]
    assert recorder.done[-1].startswith("ip link delete")


def test_a_network_has_a_safe_name(tmp_path: Path) -> None:
    ours, recorder = networks(tmp_path)
    with pytest.raises(InvalidInput, match="no name for a network"):
        ours.ensure("../x")
    assert recorder.done == []
