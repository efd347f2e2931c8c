"""Networks of Docker's, as Wasm containers and their neighbours see them."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import pytest

from wasmimg_testing.machines.traces import Traces, vanish
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmimg_testing.machines import DockerHost

MAC = "02:42:0a:4d:00:09"


@pytest.fixture(autouse=True)
def nothing_left(docker: DockerHost) -> Iterator[None]:
    before = Traces.of(docker.machine)
    yield
    docker.clear()
    vanish(docker.machine, before)


def serve(docker: DockerHost, name: str, *options: str, port: int = 80) -> None:
    """Run a server that answers with its name, and wait until it listens."""
    words = ("test/toolbox", "serve", str(port), f"i am {name}")
    docker.run("-d", "--name", name, *options, *words).well()
    until(lambda: "serving" in docker.docker("logs", name).out, f"{name} serves")


def fetch(docker: DockerHost, *options: str, host: str, port: int = 80) -> str:
    done = docker.run("--rm", *options, "test/toolbox", "fetch", host, str(port))
    return done.out.strip() or done.err.strip()


def get(docker: DockerHost, port: int) -> str:
    """Ask a published port from the machine that Docker runs on."""
    with docker.machine.network():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.connect()
    connection.request("GET", "/")
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def namespace(docker: DockerHost, name: str) -> str:
    pid = docker.state(name)["Pid"]
    return docker.machine.run("readlink", f"/proc/{pid}/ns/net").well()


def test_ports_are_published(docker: DockerHost) -> None:
    serve(docker, "web", "-p", "8080:80", "-p", "8081:80")
    assert get(docker, 8080) == get(docker, 8081) == "i am web"
    docker.docker("restart", "web").well()
    until(lambda: docker.docker("logs", "web").out.count("serving") == 2, "it serves again")
    assert get(docker, 8080) == "i am web"


def test_none_is_a_network_with_loopback_alone(docker: DockerHost) -> None:
    serve(docker, "alone", "--network", "none")
    pid = docker.state("alone")["Pid"]
    listed = docker.machine.run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-brief", "address")
    assert [line.split()[0] for line in listed.well().splitlines()] == ["lo"]
    assert "127.0.0.1/8" in listed.out
    failed = fetch(docker, "--network", "none", host="192.0.2.1")
    assert failed.endswith(("Network unreachable (os error 40)", "Network is unreachable"))


def test_host_is_the_machines_own(docker: DockerHost) -> None:
    serve(docker, "here", "--network", "host", port=8090)
    assert get(docker, 8090) == "i am here"
    assert namespace(docker, "here") == docker.machine.run("readlink", "/proc/1/ns/net").well()


def test_containers_share_a_network(docker: DockerHost) -> None:
    serve(docker, "first")
    shared = ("--network", "container:first")
    assert fetch(docker, *shared, host="127.0.0.1") == "i am first"
    docker.run("-d", "--name", "second", *shared, "test/sleep").well()
    assert namespace(docker, "first") == namespace(docker, "second")


def test_names_on_networks_of_their_own(docker: DockerHost) -> None:
    docker.docker("network", "create", "one").well()
    docker.docker("network", "create", "--internal", "other").well()
    serve(docker, "server", "--network", "one", "--network-alias", "also")
    for host in ("server", "also"):
        assert fetch(docker, "--network", "one", host=host) == "i am server"
    assert fetch(docker, "--network", "other", host="server") != "i am server"
    docker.docker("network", "connect", "other", "server").well()
    assert fetch(docker, "--network", "other", host="server") == "i am server"
    docker.docker("network", "disconnect", "other", "server").well()
    assert fetch(docker, "--network", "other", host="server") != "i am server"


def test_linux_and_wasm_reach_each_other(docker: DockerHost) -> None:
    docker.docker("network", "create", "mixed").well()
    serve(docker, "wasm", "--network", "mixed")
    words = ("run", "--rm", "--network", "mixed", "test/busy")
    done = docker.docker(*words, "wget", "-q", "-O-", "http://wasm/")
    assert done.out == "i am wasm"
    script = "mkdir /www; echo hello from linux > /www/index.html; httpd -f -p 80 -h /www"
    docker.docker(
        *("run", "-d", "--name", "linux", "--network", "mixed", "test/busy", "sh", "-c", script)
    ).well()
    until(
        lambda: fetch(docker, "--network", "mixed", host="linux") == "hello from linux",
        "the Linux server answers",
    )


def test_the_address_is_the_one_that_docker_gave(docker: DockerHost) -> None:
    docker.docker("network", "create", "--subnet", "10.77.0.0/24", "fixed").well()
    serve(docker, "still", "--network", "fixed", "--ip", "10.77.0.9", "--mac-address", MAC)
    pid = docker.state("still")["Pid"]
    shown = docker.machine.run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", "address")
    links = {link["ifname"]: link for link in json.loads(shown.well())}
    assert links["eth0"]["address"] == MAC
    assert [info["local"] for info in links["eth0"]["addr_info"]] == ["10.77.0.9"]
    assert fetch(docker, "--network", "fixed", host="10.77.0.9") == "i am still"
