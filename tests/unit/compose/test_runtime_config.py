"""config.json made of an image's config, the user's options and what the host gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from wasmimg_compose import accounts, bundle, runtimes
from wasmimg_compose.accounts import Account
from wasmimg_compose.bundle import BindMount, Placement, TmpfsMount
from wasmimg_compose.container import ContainerSpec, Limits
from wasmimg_compose.fields import Fields
from wasmimg_compose.hostfiles import HostFiles, mounts, nameservers, upstream
from wasmimg_images.config import ImageConfig
from wasmimg_images.errors import InvalidInput

PLACEMENT = Placement(
    rootfs="/r",
    hostname="abc",
    account=Account(0, 0, (), "/root"),
    cgroup="/wasmimg/x",
    network="/n",
    mounts=(),
    seccomp=None,
    open_files=1024,
    is_wasm=True,
)


def image(**config: object) -> ImageConfig:
    document = {"os": "wasi", "architecture": "wasm", "config": config}
    return ImageConfig.parse(json.dumps(document).encode())


def made(
    config: Mapping[str, object], spec: ContainerSpec, placement: Placement = PLACEMENT
) -> Fields:
    document = bundle.config(image(**config), spec, placement)
    return Fields.parse(json.dumps(document).encode(), "config.json")


@pytest.mark.parametrize(
    ("config", "spec", "args"),
    [
        ({"Entrypoint": ["/a"], "Cmd": ["b"]}, ContainerSpec("i"), ("/a", "b")),
        ({"Entrypoint": ["/a"], "Cmd": ["b"]}, ContainerSpec("i", command=("c",)), ("/a", "c")),
        ({"Entrypoint": ["/a"], "Cmd": ["b"]}, ContainerSpec("i", entrypoint=("/e",)), ("/e",)),
        ({"Cmd": ["b"]}, ContainerSpec("i", entrypoint=("/e",), command=("f",)), ("/e", "f")),
    ],
)
def test_entrypoint_and_command(
    config: dict[str, object], spec: ContainerSpec, args: tuple[str, ...]
) -> None:
    assert made(config, spec).object("process").texts("args") == args


def test_an_image_with_nothing_to_run_is_refused() -> None:
    with pytest.raises(InvalidInput, match="i: the image names no entrypoint"):
        bundle.arguments(image(), ContainerSpec("i", entrypoint=()))


def test_the_users_variables_win() -> None:
    config = {"Entrypoint": ["/a"], "Env": ["A=1", "PATH=/x", "E=a=b"]}
    spec = ContainerSpec("i", env=(("A", "2"), ("HOME", "/h")))
    assert made(config, spec).object("process").texts("env") == (
        "PATH=/x",
        "HOSTNAME=abc",
        "HOME=/h",
        "A=2",
        "E=a=b",
    )


def test_only_root_holds_capabilities_and_wasm_never_gains_any() -> None:
    config = {"Entrypoint": ["/a"]}
    root = made(config, ContainerSpec("i")).object("process")
    other = made(
        config, ContainerSpec("i"), PLACEMENT._replace(account=Account(7, 8, (9,)), is_wasm=False)
    ).object("process")
    assert root.object("capabilities").texts("effective") == bundle.CAPABILITIES
    assert other.object("capabilities").texts("effective") == ()
    assert other.object("capabilities").texts("bounding") == bundle.CAPABILITIES
    assert root.flag("noNewPrivileges")
    assert not other.flag("noNewPrivileges")
    assert other.object("user").items("additionalGids") == [9]


@pytest.mark.parametrize(
    ("network", "entry"),
    [
        ("/n", [{"type": "network", "path": "/n"}]),
        ("", [{"type": "network"}]),
        (None, []),
    ],
)
def test_the_network_namespace(network: str | None, entry: list[object]) -> None:
    config = made({"Entrypoint": ["/a"]}, ContainerSpec("i"), PLACEMENT._replace(network=network))
    namespaces = config.object("linux").items("namespaces")
    assert namespaces[4:] == entry


def test_limits() -> None:
    limits = Limits(memory=1 << 20, cpus=0.25, pids=9)
    resources = made({"Entrypoint": ["/a"]}, ContainerSpec("i", limits=limits)).object("linux")
    resources = resources.object("resources")
    assert resources.object("memory").integer("limit") == 1 << 20
    assert resources.object("cpu").integer("quota") == 25_000
    assert resources.object("pids").integer("limit") == 9
    bare = made({"Entrypoint": ["/a"]}, ContainerSpec("i")).object("linux").object("resources")
    assert set(bare.members) == {"devices"}


def test_mounts_come_after_those_that_they_are_in() -> None:
    asked = (BindMount("/h", "/data/sub/x", read_only=True), TmpfsMount("/data", options=("a=1",)))
    config = made({"Entrypoint": ["/a"]}, ContainerSpec("i"), PLACEMENT._replace(mounts=asked))
    last = config.objects("mounts")[-2:]
    assert [each.text("destination") for each in last] == ["/data", "/data/sub/x"]
    assert last[0].texts("options")[-1] == "a=1"
    assert "ro" in last[1].texts("options")


def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "# people\nroot:x:0:0:root:/root:/bin/sh\napp:x:7:8::/home/app:\nbroken:x:a:b::/:\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nextra:x:9:app,other\n")
    return tmp_path


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("", Account(0, 0, (), "/root")),
        ("app", Account(7, 8, (9,), "/home/app")),
        ("7", Account(7, 8, (9,), "/home/app")),
        ("app:extra", Account(7, 9, (), "/home/app")),
        ("app:77", Account(7, 77, (), "/home/app")),
        ("65532:65532", Account(65532, 65532, (), "/")),
    ],
)
def test_users(tmp_path: Path, user: str, account: Account) -> None:
    assert accounts.resolve(rootfs(tmp_path), user) == account


@pytest.mark.parametrize("user", ["nobody", "app:nogroup", "broken", "4294967295", "-1"])
def test_users_that_are_not_there(tmp_path: Path, user: str) -> None:
    with pytest.raises(InvalidInput, match=f"user '{user}'"):
        accounts.resolve(rootfs(tmp_path), user)


def test_an_image_without_accounts_takes_numbers_only(tmp_path: Path) -> None:
    assert accounts.resolve(tmp_path, "1000") == Account(1000, 0, (), "/")
    with pytest.raises(InvalidInput, match="no user 'app'"):
        accounts.resolve(tmp_path, "app")


def test_a_link_to_the_hosts_accounts_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "passwd").write_text("host:x:5:5::/:\n")
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "root/etc/passwd").symlink_to("../../passwd")
    with pytest.raises(InvalidInput, match="no user 'host'"):
        accounts.resolve(tmp_path / "root", "host")


@pytest.mark.parametrize(
    ("name", "engine", "warns"),
    [
        (None, "wasmtime", False),
        ("wasmtime", "wasmtime", False),
        ("io.containerd.wasmtime.v1", "wasmtime", False),
        ("io.containerd.wasmimg.v1", "wasmtime", False),
        ("io.containerd.wasmedge.v1", "wasmtime", True),
        ("runc", "wasmtime", False),
    ],
)
def test_runtimes(name: str | None, engine: str, warns: bool) -> None:
    found = runtimes.choose(name)
    assert found.engine == engine
    assert bool(found.warning) is warns


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(InvalidInput, match="runtime 'spin' is not known") as refused:
        runtimes.choose("spin")
    assert refused.value.hint == "there are: crun, runc, wasmedge, wasmimg, wasmtime"


def test_host_files(tmp_path: Path) -> None:
    files = HostFiles("abc", [("10.0.0.2", "abc")], responder=True)
    files.write(tmp_path)
    assert [mount.target for mount in mounts(tmp_path)] == [
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/hostname",
    ]
    assert "10.0.0.2\tabc\n" in (tmp_path / "hosts").read_text()
    assert nameservers((tmp_path / "resolv.conf").read_text()) == ["127.0.0.11"]
    assert "search corp" in files.resolv_conf("search corp\nnameserver 10.1.1.1\n")
    shared = HostFiles("abc").resolv_conf("nameserver 10.1.1.1\n")
    assert shared == "nameserver 10.1.1.1\n"


def test_a_stub_resolver_gives_way_to_the_servers_behind_it(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    assert upstream([stub, real]) == ["127.0.0.53"]
    real.write_text("nameserver 192.0.2.53\n# comment\nnameserver 2001:db8::1\n")
    assert upstream([stub, real]) == ["192.0.2.53", "2001:db8::1"]
