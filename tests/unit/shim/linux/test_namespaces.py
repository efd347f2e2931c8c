from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import libc
from wasmimg_shim.linux.namespaces import FLAGS, open_joined, plan, sysctl_path
from wasmimg_shim.spec import Namespace
from wasmimg_testing.descriptors import descriptors

EVERY = frozenset(FLAGS)


def test_made_and_joined() -> None:
    spaces = plan((Namespace("mount"), Namespace("pid"), Namespace("network", "/run/netns/a")))
    assert spaces.made == {"mount", "pid"}
    assert spaces.joined == (("network", "/run/netns/a"),)
    assert spaces.own == {"mount", "pid", "network"}
    # a pid namespace is for children, so init's parent makes it
    assert spaces.flags() == libc.CLONE_NEWNS


@pytest.mark.parametrize(
    ("namespaces", "words"),
    [
        ((), "a mount namespace"),
        ((Namespace("pid"),), "a mount namespace"),
        ((Namespace("mount", "/x"),), "a mount namespace"),
        ((Namespace("mount"), Namespace("user")), "'user' is not supported"),
        ((Namespace("mount"), Namespace("mount")), "given twice"),
        ((Namespace("mount"), Namespace("pid", "/a"), Namespace("pid")), "given twice"),
    ],
)
def test_what_can_not_be_made(namespaces: tuple[Namespace, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan(namespaces)


def test_joined_namespaces_are_opened_all_or_none() -> None:
    own = f"/proc/{os.getpid()}/ns"
    before = descriptors()
    spaces = plan((Namespace("mount"), Namespace("ipc", f"{own}/ipc"), Namespace("uts", "/none")))
    with pytest.raises(FileNotFoundError, match="/none"):
        open_joined(spaces)
    assert descriptors() <= before


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("kernel.shmmax", "kernel/shmmax"),
        ("kernel.sem", "kernel/sem"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ("kernel.domainname", "kernel/domainname"),
    ],
)
def test_sysctls_of_namespaces(name: str, path: str) -> None:
    assert sysctl_path(name, EVERY) == f"/proc/sys/{path}"


@pytest.mark.parametrize(
    "name", ["kernel.panic", "vm.swappiness", "fs.file-max", "kernel.shm_next/../panic", "net..x",
             "net/../kernel/panic", "", ".", "/net/x"]
)  # fmt: skip
def test_sysctls_of_the_machine_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        sysctl_path(name, EVERY)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("net.core.somaxconn", "network"), ("kernel.shmall", "ipc"), ("kernel.hostname", "uts")],
)
def test_a_sysctl_needs_its_namespace(name: str, missing: str) -> None:
    with pytest.raises(InvalidInput, match=f"needs a {missing} namespace"):
        sysctl_path(name, EVERY - {missing})


@given(st.text(alphabet="a./-_n et", max_size=20))
def test_no_sysctl_leaves_its_folder(name: str) -> None:
    try:
        path = sysctl_path(f"net.{name}", EVERY)
    except InvalidInput:
        return
    assert os.path.normpath(path) == path
    assert path.startswith("/proc/sys/net/")
