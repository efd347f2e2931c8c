"""What no container may be asked for, whatever its image: by `run` and by a Compose file."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose import constraints, creation
from wasmimg_compose.container import Attachment, ContainerSpec, Limits, Mount, Port
from wasmimg_compose.network import network, pool
from wasmimg_compose.ports import HostPorts, parse_port
from wasmimg_compose.project import load
from wasmimg_compose.quantities import seconds, size, whole
from wasmimg_images.errors import InvalidInput

SPEC = ContainerSpec("demo")
LONG = "x" * 300


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SPEC._replace(hostname="a\nb"), r"'a\\nb' is no host name"),
        (SPEC._replace(hostname="a b"), "is no host name"),
        (SPEC._replace(hostname="x" * 65), "a host name of 65 characters"),
        (SPEC._replace(extra_hosts=(("x\ny", "1.2.3.4"),)), "is no host name"),
        (SPEC._replace(extra_hosts=(("x", "999.1.1.1"),)), "'999.1.1.1' is no IP address"),
        (SPEC._replace(extra_hosts=(("x", "1.2.3.4\ny"),)), "is no IP address"),
        (SPEC._replace(command=("a\0b",)), "zero byte"),
        (SPEC._replace(entrypoint=("\udcff",)), "half a character"),
        (SPEC._replace(env=(("A", "\0"),)), "zero byte"),
        (SPEC._replace(env=(("", "1"),)), "is no name for a variable"),
        (SPEC._replace(workdir="/x\0y"), "zero byte"),
        (SPEC._replace(workdir="x"), "not absolute"),
        (SPEC._replace(limits=Limits(cpus=float("nan"))), "nan processors"),
        (SPEC._replace(limits=Limits(cpus=float("inf"))), "inf processors"),
        (SPEC._replace(limits=Limits(cpus=1e308)), "1e[+]308 processors"),
        (SPEC._replace(limits=Limits(cpus=-1)), "-1 processors"),
        (SPEC._replace(limits=Limits(pids=0)), "0 processes can't be had"),
        (SPEC._replace(limits=Limits(pids=1 << 32)), "processes can't be had"),
        (SPEC._replace(mounts=(Mount("bind", "/x", "/dev"),)), "nothing can be mounted on /dev"),
        (SPEC._replace(mounts=(Mount("tmpfs", "", "//proc/."),)), "mounted on /proc"),
        (SPEC._replace(mounts=(Mount("volume", "v", "/a/../sys"),)), "mounted on /sys"),
        (SPEC._replace(mounts=(Mount("volume", "v", "/"),)), "mounted on /$"),
        (SPEC._replace(mounts=(Mount("volume", LONG, "/v"),)), "is no name for a volume"),
        (
            SPEC._replace(mounts=(Mount("volume", "", "/v"), Mount("tmpfs", "", "/v/"))),
            "two mounts on /v",
        ),
        (SPEC._replace(networks=(Attachment("host"), Attachment("none"))), "host excludes"),
        (SPEC._replace(networks=(Attachment("a"), Attachment("a"))), "a is named twice"),
        (SPEC._replace(networks=(Attachment(LONG),)), "is no name for a network"),
        (SPEC._replace(networks=(Attachment("a", ("x y",)),)), "is no host name"),
        (SPEC._replace(networks=(Attachment("a", (), "x"),)), "'x' is no IPv4 address"),
        (SPEC._replace(ports=(Port(80, 8081), Port(80, 8081))), "8081/tcp is published twice"),
        (SPEC._replace(ports=(Port(80, 80, "::1"),)), "is no IPv4 address"),
    ],
)
def test_a_spec_that_breaks_a_rule_is_refused_in_one_line(
    spec: ContainerSpec, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        creation.check(spec)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    "spec",
    [
        SPEC._replace(hostname="my_db-1.example", extra_hosts=(("x", "::1"), ("y", "1.2.3.4"))),
        SPEC._replace(hostname="x" * 60 + ".abc"),
        SPEC._replace(mounts=(Mount("bind", "/dev/fuse", "/dev/fuse"), Mount("bind", "/x", "/x"))),
        SPEC._replace(limits=Limits(6 << 20, 0.01, 1)),
        SPEC._replace(ports=(Port(80, 81), Port(80, 81, protocol="udp"), Port(80), Port(80))),
        SPEC._replace(networks=(Attachment("host"),)),
    ],
)
def test_what_docker_takes_is_taken(spec: ContainerSpec) -> None:
    creation.check(spec)


def test_a_wasm_guest_needs_two_threads() -> None:
    with pytest.raises(InvalidInput, match="too little for a Wasm image") as refused:
        constraints.check_wasm(SPEC._replace(limits=Limits(pids=1)))
    assert refused.value.hint == "2 at least"
    constraints.check_wasm(SPEC._replace(limits=Limits(pids=2)))


@given(st.text(max_size=80))
def test_a_host_name_is_always_one_word_of_a_line(name: str) -> None:
    try:
        constraints.check_domain(name)
    except InvalidInput:
        return
    assert name.split() == [name]
    assert name.isascii()


def test_host_ports_collide_on_every_address() -> None:
    taken = HostPorts()
    assert taken.take(Port(80, 8080, "127.0.0.1"), "a") is None
    assert taken.take(Port(80, 8080, "127.0.0.2"), "b") is None
    assert taken.take(Port(80, 8080, "127.0.0.1"), "c") == "a"
    assert taken.take(Port(80, 8080), "d") == "a"
    assert taken.take(Port(80), "e") is None


@pytest.mark.parametrize("text", ["٣:80", "80-٣", "9" * 5000])
def test_ports_are_ascii_digits(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_port(text)


@pytest.mark.parametrize("text", ["٣", "1_0", "", "-1", " 1", "1" * 19])
def test_what_is_no_whole_number(text: str) -> None:
    assert whole(text) is None


@pytest.mark.parametrize("text", ["99999999999999999999g", "9" * 400, "٣g"])
def test_sizes_that_no_kernel_takes(text: str) -> None:
    with pytest.raises(InvalidInput):
        size(text)


@pytest.mark.parametrize("text", ["1" + "0" * 20 + "h", "9" * 400 + "s", "٣s"])
def test_times_that_do_not_fit(text: str) -> None:
    with pytest.raises(InvalidInput):
        seconds(text)


@pytest.mark.parametrize(
    "subnet",
    ["127.0.0.0/8", "127.1.2.0/24", "224.0.0.0/4", "240.0.0.0/8", "0.0.0.0/0", "10.0.0.0/31", "x"],
)
def test_subnets_that_no_network_can_have(subnet: str) -> None:
    with pytest.raises(InvalidInput, match=f"subnet {subnet}: "):
        pool.check(subnet, ())


def test_a_subnet_of_one_container_is_the_smallest() -> None:
    assert pool.check("10.0.0.0/30", ()) == ipaddress.IPv4Network("10.0.0.0/30")


@pytest.mark.parametrize("address", ["10.1.0.0", "10.1.0.1", "10.1.0.255", "10.2.0.9", "x", "::1"])
def test_addresses_that_are_no_containers(address: str) -> None:
    with pytest.raises(InvalidInput):
        network.check_address(address, "10.1.0.0/24")


SERVICE = "services: {web: {image: demo, %s}}"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (SERVICE % "cpus: .nan", "services.web.cpus"),
        (SERVICE % "cpus: .inf", "services.web.cpus"),
        (SERVICE % "cpus: 1e308", "services.web.cpus"),
        (SERVICE % 'cpus: "nan"', "services.web.cpus"),
        (SERVICE % "cpus: -1", "services.web.cpus"),
        (SERVICE % f"cpus: {'9' * 400}", "services.web.cpus"),
        (
            SERVICE % "deploy: {resources: {limits: {cpus: .inf}}}",
            "services.web.deploy.resources.limits.cpus",
        ),
        (SERVICE % "pids_limit: -2", "services.web.pids_limit"),
        (SERVICE % "scale: 9999999999999", "services.web.scale"),
        (SERVICE % "healthcheck: {test: x, retries: -1}", "services.web.healthcheck.retries"),
        (
            SERVICE % f"healthcheck: {{test: x, interval: 1{'0' * 20}h}}",
            "services.web.healthcheck.interval",
        ),
        (SERVICE % "healthcheck: {test: [CMD]}", "services.web.healthcheck.test"),
        (SERVICE % """healthcheck: {test: "wasmimg-probe 'x"}""", "services.web.healthcheck.test"),
        (SERVICE % 'hostname: "a\\nb"', "services.web.hostname"),
        (SERVICE % "hostname: a b", "services.web.hostname"),
        (SERVICE % 'extra_hosts: ["x:hello"]', "services.web.extra_hosts"),
        (SERVICE % 'extra_hosts: ["x"]', "services.web.extra_hosts[0]"),
        (SERVICE % 'extra_hosts: {"a\\nb": 1.2.3.4}', "services.web.extra_hosts"),
        (SERVICE % "networks: {default: {aliases: [a b]}}", "services.web.networks"),
        (
            SERVICE % "networks: {default: {ipv4_address: 10.1.1.1}}",
            "services.web.networks.default.ipv4_address",
        ),
        (SERVICE % 'working_dir: "/x\\0y"', "services.web.working_dir"),
        (SERVICE % 'command: ["\\ud800"]', "services.web.command[0]"),
        (SERVICE % 'labels: {"\\0": x}', "services.web.labels"),
        (SERVICE % "working_dir: x", "services.web.working_dir"),
        (SERVICE % 'ports: ["81:80", "81:80"]', "services.web.ports"),
        (SERVICE % 'volumes: ["./x:/dev"]', "services.web.volumes[0]"),
        (SERVICE % 'volumes: ["/y:/x:ro,rw"]', "services.web.volumes[0]"),
        (SERVICE % 'tmpfs: ["/x:wat=1"]', "services.web.tmpfs[0]"),
        (
            SERVICE % "volumes: [{type: tmpfs, target: /t, tmpfs: {mode: rwx}}]",
            "services.web.volumes[0]",
        ),
        (SERVICE % "container_name: solo, scale: 2", "services.web.container_name"),
        (SERVICE % 'ports: ["81:80"], scale: 2', "services.web.ports"),
        ("services: {web: {image: UPPER}}", "services.web.image"),
        ("services: {a: {image: x, container_name: abc}, b: {image: x, container_name: abc}}",
         "services.b.container_name"),
        ('services: {a: {image: x, ports: ["81:1"]}, b: {image: x, ports: ["81:2"]}}',
         "services.b.ports"),
        ('services: {"a\\nb": {image: x}}', "services.'a\\\\nb'"),
        (
            "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: [{subnet: 10.0.0.0/32}]}}}",
            "networks.n.ipam.config[0].subnet",
        ),
        (
            "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: [{subnet: 127.0.0.0/8}]}}}",
            "networks.n.ipam.config[0].subnet",
        ),
        (
            "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: [{gateway: 10.0.0.1}]}}}",
            "networks.n.ipam.config[0]",
        ),
        (
            SERVICE % "scale: 1"
            + "\nnetworks: {n: {ipam: {config: [{subnet: 10.0.0.0/16}]}}, m: "
            "{ipam: {config: [{subnet: 10.0.9.0/24}]}}}",
            "networks.m",
        ),
        (f"services: {{a: {{image: x}}}}\nnetworks: {{n: {{name: {LONG}}}}}", "networks.n.name"),
        ("services: {a: {image: x}}\nvolumes: {v: {name: a b}}", "volumes.v.name"),
        (f"services: {{a: {{image: x}}}}\nvolumes: {{{LONG}: {{}}}}", "volumes.xxx"),
    ],
)  # fmt: skip
def test_a_compose_file_is_checked_before_anything_starts(
    tmp_path: Path, text: str, path: str
) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path / "compose.yaml", {}, name="shop")
    message = refused.value.message
    place, _, rest = message.partition(" ")
    assert place.startswith("compose.yaml:")
    assert place.count(":") == 3
    assert rest.startswith(path.replace("\\\\", "\\"))
    assert message.isprintable()


@pytest.mark.parametrize("text", ["0", "-1", '"-1"'])
def test_no_limit_of_processes_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "compose.yaml").write_text(SERVICE % f"pids_limit: {text}")
    project = load(tmp_path / "compose.yaml", {}, name="shop")
    assert project.services["web"].spec.limits == Limits()


def test_services_of_different_profiles_may_share_a_port(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        'services: {a: {image: x, ports: ["81:1"]}, '
        'b: {image: x, ports: ["81:2"], profiles: [other]}}'
    )
    assert set(load(tmp_path / "compose.yaml", {}).services) == {"a", "b"}
