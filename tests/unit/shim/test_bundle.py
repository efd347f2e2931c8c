"""Bundles: what a configuration means, and that a malformed one is named by its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_shim.bundle import CONFIG, LARGEST, Bundle, parse
from wasmimg_shim.spec import (
    Capabilities,
    Cpu,
    Device,
    DeviceRule,
    Hook,
    IdMapping,
    Linux,
    Memory,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Seccomp,
    SeccompArgument,
    SeccompRule,
    User,
)

SMALLEST: dict[str, Any] = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}}


def read(**members: Any) -> Any:
    return parse(json.dumps(SMALLEST | members).encode())


def test_the_smallest_configuration_has_defaults() -> None:
    spec = parse(json.dumps(SMALLEST).encode())
    assert (spec.root_path, spec.root_readonly, spec.hostname) == ("rootfs", False, "")
    assert spec.process == Process(args=(), cwd="/", user=User())
    assert spec.linux == Linux()


def test_null_is_missing() -> None:
    spec = read(mounts=None, linux={"namespaces": None, "seccomp": None, "resources": None})
    assert spec.mounts == ()
    assert spec.linux == Linux()


def test_unknown_members_are_ignored() -> None:
    assert read(vm={"kernel": 1}, linux={"intelRdt": {}}).linux == Linux()


def test_a_process_is_read_whole() -> None:
    spec = read(
        process={
            "args": ["/app.wasm", "serve"],
            "env": ["A=1"],
            "cwd": "/srv",
            "user": {"uid": 1000, "gid": 5, "umask": 0o1027, "additionalGids": [7]},
            "capabilities": {"bounding": ["CAP_KILL"], "ambient": ["CAP_CHOWN"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615}],
            "noNewPrivileges": True,
            "oomScoreAdj": -5,
            "terminal": True,
        }
    )
    assert spec.process == Process(
        args=("/app.wasm", "serve"),
        env=("A=1",),
        cwd="/srv",
        user=User(1000, 5, 0o27, (7,)),
        capabilities=Capabilities(frozenset({"CAP_KILL"}), ambient=frozenset({"CAP_CHOWN"})),
        rlimits=(Rlimit("RLIMIT_NOFILE", 1, (1 << 64) - 1),),
        no_new_privileges=True,
        oom_score_adj=-5,
        terminal=True,
    )


def test_the_linux_part_is_read_whole() -> None:
    linux = read(
        linux={
            "namespaces": [{"type": "mount"}, {"type": "network", "path": "/run/netns/a"}],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "devices": [{"path": "/dev/a", "type": "c", "major": 1, "minor": 3, "fileMode": 438}],
            "cgroupsPath": "/box",
            "resources": {
                "devices": [
                    {"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 1, "minor": -1, "access": "r"},
                ],
                "memory": {"limit": 1024, "swap": -1, "reservation": 512, "disableOOMKiller": True},
                "cpu": {"shares": 512, "quota": 5, "period": 10, "cpus": "0-1", "mems": "0"},
                "pids": {"limit": 9},
                "blockIO": {"weight": 100},
                "unified": {"memory.high": "5"},
            },
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "maskedPaths": ["/proc/keys"],
            "readonlyPaths": ["/proc/sys"],
            "rootfsPropagation": "rslave",
        }
    ).linux
    assert linux.namespaces == (Namespace("mount"), Namespace("network", "/run/netns/a"))
    assert linux.uid_mappings == (IdMapping(0, 1000, 10),)
    assert linux.devices == (Device("/dev/a", "c", 1, 3, 0o666),)
    assert linux.resources.devices == (
        DeviceRule(allow=False),
        DeviceRule(True, "c", 1, None, "r"),
    )
    assert linux.resources.memory == Memory(1024, 512, -1, None, True)
    assert linux.resources.cpu == Cpu(512, 5, 10, "0-1", "0")
    assert (linux.resources.pids_limit, linux.resources.blkio_weight) == (9, 100)
    assert linux.resources.unified == (("memory.high", "5"),)
    assert linux.sysctl == (("net.ipv4.ip_forward", "1"),)
    assert (linux.masked_paths, linux.readonly_paths) == (("/proc/keys",), ("/proc/sys",))
    assert (linux.cgroups_path, linux.rootfs_propagation) == ("/box", "rslave")


def test_a_filter_is_read_whole() -> None:
    argument = {"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    rule = {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [argument]}
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [rule],
    }
    assert read(linux={"seccomp": profile}).linux.seccomp == Seccomp(
        "SCMP_ACT_ERRNO",
        38,
        ("SCMP_ARCH_X86_64",),
        ("SECCOMP_FILTER_FLAG_LOG",),
        (
            SeccompRule(
                ("clone",), "SCMP_ACT_ERRNO", 1, (SeccompArgument(1, 2, "SCMP_CMP_MASKED_EQ", 3),)
            ),
        ),
    )


def test_hooks_are_sorted_by_their_kind() -> None:
    hooks = read(
        hooks={
            "prestart": [{"path": "/a", "args": ["a", "b"], "env": ["X=1"], "timeout": 5}],
            "poststop": [{"path": "/z"}],
        }
    ).hooks
    assert hooks.prestart == (Hook("/a", ("a", "b"), ("X=1",), 5),)
    assert hooks.poststop == (Hook("/z"),)
    assert hooks.create_runtime == hooks.poststart == ()


def test_a_relative_destination_starts_at_the_root() -> None:
    assert read(mounts=[{"destination": "data"}]).mounts == (Mount("/data"),)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"root": {}}, "root.path: expected a string, found nothing"),
        ({"root": {"path": ""}}, "root.path: empty"),
        ({"root": []}, "root: expected an object, found an array"),
        ({"ociVersion": 1}, "ociVersion: expected a string, found a number"),
        ({"process": {"cwd": "srv"}}, "process.cwd: 'srv' is not an absolute path"),
        ({"process": {"user": {"uid": -1}}}, "process.user.uid: -1 is not between"),
        ({"process": {"user": {"uid": 1 << 32}}}, "process.user.uid: 4294967296 is not between"),
        ({"process": {"user": {"uid": True}}}, "uid: expected an integer, found true"),
        ({"process": {"args": ["a", 1]}}, "process.args[1]: expected a string, found a number"),
        ({"process": {"args": ["a\0b"]}}, "process.args[0]: a NUL character"),
        ({"process": {"terminal": 1}}, "process.terminal: expected true or false"),
        ({"process": {"rlimits": [{"type": "x"}]}}, "rlimits[0].soft: expected an integer"),
        ({"mounts": {}}, "mounts: expected an array, found an object"),
        ({"mounts": [{"destination": ""}]}, "mounts[0].destination: empty"),
        ({"linux": {"maskedPaths": ["x"]}}, "linux.maskedPaths[0]: 'x' is not an absolute path"),
        ({"linux": {"sysctl": {"a": 1}}}, "linux.sysctl.a: expected a string"),
        (
            {"linux": {"resources": {"memory": {"limit": 1 << 70}}}},
            "linux.resources.memory.limit: 1180591620717411303424 does not fit",
        ),
        ({"annotations": {"a": None}}, "annotations.a: expected a string, found nothing"),
    ],
)
def test_what_is_malformed_is_named(members: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(**members)
    assert f"{CONFIG}.{words}" in caught.value.message or words in caught.value.message


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["path", "type", "uid", "limit", "memory"]), inner)
    ),
    max_leaves=12,
)
MEMBERS = ("root", "process", "mounts", "linux", "hooks", "annotations", "hostname")


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_any_document_is_read_or_refused(members: dict[str, Any]) -> None:
    try:
        read(**members)
    except InvalidInput as error:
        assert error.message.startswith(CONFIG)


def test_a_bundle_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(SMALLEST))
    bundle = Bundle.load(str(folder))
    assert (bundle.id, bundle.path) == ("box", str(folder))
    assert bundle.rootfs == str(folder / "rootfs")
    assert Bundle.load(str(folder), "name").id == "name"


def test_an_absolute_root_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(SMALLEST | {"root": {"path": "/var/lib/root"}}))
    assert Bundle.load(str(tmp_path)).rootfs == "/var/lib/root"


def test_a_folder_without_configuration_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json: no such file"):
        Bundle.load(str(tmp_path))


def test_a_huge_configuration_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / CONFIG, "wb") as stream:
        stream.truncate(LARGEST + 1)
    with pytest.raises(InvalidInput, match="larger than 16 MiB"):
        Bundle.load(str(tmp_path))
