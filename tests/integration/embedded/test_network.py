"""Published ports, names, and what may reach what."""

from __future__ import annotations

import http.client
import os
import signal
import socket

import pytest

from wasmimg_compose import kernel, lifecycle
from wasmimg_compose.container import Attachment, Port
from wasmimg_compose.network.networks import Networks
from wasmimg_images.errors import HostError
from wasmimg_testing.embedded import Machine, free_port, until

pytestmark = [pytest.mark.root, pytest.mark.network]
SERVE = (
    "mkdir -p /www/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/who;"
    " touch /x; chmod +x /www/cgi-bin/who 2>/dev/null || busybox chmod +x /www/cgi-bin/who;"
    " echo hi > /www/index.html; exec httpd -f -p 80 -h /www"
)


def get(host: str, port: int, path: str = "/") -> str:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def answers(host: str, port: int) -> bool:
    try:
        return bool(get(host, port))
    except OSError:
        return False


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        return address


def test_published_ports_answer_on_every_address(machine: Machine) -> None:
    port = free_port()
    machine.shell(SERVE, ports=(Port(80, port),))
    until(lambda: answers("127.0.0.1", port), "an answer on loopback")
    assert get(own_address(), port) == "hi\n"
    assert own_address() in get(own_address(), port, "/cgi-bin/who")


def test_a_port_of_one_address_is_not_on_others(machine: Machine) -> None:
    port = free_port()
    machine.shell(SERVE, ports=(Port(80, port, "127.0.0.1"),))
    until(lambda: answers("127.0.0.1", port), "an answer on loopback")
    with pytest.raises(ConnectionRefusedError):
        get(own_address(), port)


def test_a_free_port_is_found(machine: Machine) -> None:
    record = machine.shell(SERVE, ports=(Port(80),))
    (port,) = record.ports
    assert port.host_port
    until(lambda: answers("127.0.0.1", port.host_port), "an answer")


def test_a_taken_port_is_an_error_before_anything_starts(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port: int = taken.getsockname()[1]
        with pytest.raises(HostError, match=rf"port 0\.0\.0\.0:{port}/tcp is in use by .*pid"):
            machine.shell("true", ports=(Port(80, port),))
    first = machine.shell(SERVE, ports=(Port(80, port),))
    with pytest.raises(HostError, match=f"in use by container {first.name}"):
        machine.shell("true", ports=(Port(80, port),))


def test_udp_is_published(machine: Machine) -> None:
    record = machine.shell("sleep 100", ports=(Port(53, 0, protocol="udp"),))
    with kernel.in_network(Networks.of(machine.home).namespace(record.id)):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind((record.endpoints[0].address, 53))
        server.settimeout(10)
        client.settimeout(10)
        client.connect(("127.0.0.1", record.ports[0].host_port))
        client.send(b"ping")
        data, sender = server.recvfrom(16)
        server.sendto(data[::-1], sender)
        assert client.recv(16) == b"gnip"


def test_containers_find_each_other_by_name(machine: Machine) -> None:
    for name in ("front", "back"):
        Networks.of(machine.home).ensure(name)
    machine.shell(SERVE, name="web-1", networks=(Attachment("front", ("web",)),))
    machine.shell(SERVE, name="other", networks=(Attachment("back"),))
    asker = machine.shell(
        "for n in web web-1 WEB web.front; do wget -q -O - http://$n/ || echo no $n; done;"
        " wget -q -O - http://other/ || echo no other; cat /etc/hosts",
        networks=(Attachment("front"),),
    )
    lines = machine.output(asker).splitlines()
    assert lines[:4] == ["hi"] * 4
    assert "no other" in lines
    assert any(asker.endpoints[0].address in line for line in lines[5:])


def test_a_container_is_on_several_networks(machine: Machine) -> None:
    for name in ("front", "back"):
        Networks.of(machine.home).ensure(name)
    machine.shell(SERVE, name="db", networks=(Attachment("back"),))
    record = machine.shell(
        "ls /sys/class/net; wget -q -O - http://db/",
        networks=(Attachment("front"), Attachment("back")),
    )
    assert machine.output(record).split() == ["eth0", "eth1", "lo", "hi"]


def test_one_network_does_not_reach_another_but_by_published_ports(machine: Machine) -> None:
    for name in ("front", "back"):
        Networks.of(machine.home).ensure(name)
    port = free_port()
    web = machine.shell(SERVE, networks=(Attachment("front"),), ports=(Port(80, port),))
    until(lambda: answers("127.0.0.1", port), "an answer")
    address = web.endpoints[0].address
    record = machine.shell(
        f"timeout 2 wget -q -O - http://{address}/ || echo closed;"
        f" wget -q -O - http://{own_address()}:{port}/",
        networks=(Attachment("back"),),
    )
    assert machine.output(record).split()[-2:] == ["closed", "hi"]


def test_containers_reach_published_ports_of_their_own_network(machine: Machine) -> None:
    port = free_port()
    ask = f"wget -q -O - http://{own_address()}:{port}/"
    own = machine.shell(
        f"(until [ -e /go ]; do sleep 0.1; done; {ask}) & {SERVE}", ports=(Port(80, port),)
    )
    until(lambda: answers("127.0.0.1", port), "an answer")
    (machine.home.run / "bundles" / own.id / "rootfs/go").touch()
    until(lambda: "hi" in machine.log(own), "its own answer")
    peer = machine.shell(ask)
    assert machine.output(peer) == "hi\n"


def test_names_go_on_after_the_supervisor_was_killed(machine: Machine) -> None:
    Networks.of(machine.home).ensure("net")
    machine.shell(SERVE, name="web", networks=(Attachment("net"),), project="shop")
    first = machine.supervisor("shop")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: machine.supervisor("shop") is None, "its death")
    lifecycle.containers(machine.home)
    asker = machine.shell("wget -q -O - http://web/", networks=(Attachment("net"),), project="shop")
    assert machine.output(asker) == "hi\n"
    assert machine.supervisor("shop") not in {None, first}
