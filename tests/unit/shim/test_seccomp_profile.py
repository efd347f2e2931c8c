"""The default filter: no wider than Docker's, and the same in both of its forms."""

from __future__ import annotations

import json
import operator
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim import seccomp
from wasmimg_shim.bundle import parse
from wasmimg_shim.linux.caps import NAMES
from wasmimg_shim.seccomp import Filter, compile_filter, kept_filter
from wasmimg_shim.seccomp_profile import ALLOWED, OF_CAPABILITY, default_profile, document
from wasmimg_shim.spec import Seccomp, SeccompArgument, SeccompRule

ERRNO, ALLOW, KILL_THREAD = 0x50000, 0x7FFF0000, 0
AUDIT_X86_64, AUDIT_I386 = 0xC000003E, 0x40000003
#: what Docker's profile names as closed or opens by a capability only (docs, "Significant syscalls
#: blocked by default profile"), and what later versions have closed: io_uring and AF_VSOCK
CLOSED = [
    "acct",
    "add_key",
    "bpf",
    "clock_settime",
    "clone3",
    "create_module",
    "delete_module",
    "finit_module",
    "get_kernel_syms",
    "get_mempolicy",
    "init_module",
    "ioperm",
    "iopl",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "perf_event_open",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "query_module",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "sysfs",
    "_sysctl",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
    "chroot",
    "fsconfig",
    "fsmount",
    "fsopen",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "pidfd_getfd",
    "vhangup",
]
CALLS = {"read": 0, "ptrace": 101, "mount": 165, "unshare": 272, "keyctl": 250, "chroot": 161,
         "clone": 56, "clone3": 435, "personality": 135, "socket": 41, "openat2": 437,
         "seccomp": 317, "bpf": 321}  # fmt: skip


#: linux/bpf_common.h
BPF_LD, BPF_AND, BPF_JA, BPF_RET = 0x20, 0x54, 0x05, 0x06
JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x15: operator.eq,
    0x25: operator.gt,
    0x35: operator.ge,
    0x45: lambda accumulator, k: bool(accumulator & k),
}


def decide(program: bytes, call: int, *arguments: int, machine: int = AUDIT_X86_64) -> int:
    """Run a filter as the kernel would: classic BPF over struct seccomp_data."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", call, machine, 0, *padded)
    accumulator = place = 0
    while True:
        code, if_true, if_false, k = struct.unpack_from("<HBBI", program, place * 8)
        place += 1
        if code == BPF_LD:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == BPF_AND:
            accumulator &= k
        elif code == BPF_JA:
            place += k
        elif code == BPF_RET:
            return int(k)
        else:
            place += if_true if JUMPS[code](accumulator, k) else if_false


@pytest.fixture(scope="module")
def program() -> bytes:
    return compile_filter(default_profile((), "x86_64")).program


def test_nothing_that_docker_closes_is_open() -> None:
    opened = {name for rule in default_profile(()).rules for name in rule.names
              if rule.action == "SCMP_ACT_ALLOW" and not rule.arguments}  # fmt: skip
    assert not opened & set(CLOSED)
    assert set(ALLOWED) <= opened


def test_no_call_is_named_twice() -> None:
    assert len(ALLOWED) == len(set(ALLOWED))


@pytest.mark.parametrize("capability", OF_CAPABILITY)
def test_a_capability_opens_its_calls_and_no_others(capability: str) -> None:
    assert capability in NAMES
    plain, wider = (
        default_profile(given, "x86_64").rules[0].names for given in ((), (capability,))
    )
    assert set(wider) - set(plain) == set(OF_CAPABILITY[capability])


@pytest.mark.parametrize("call", ["read", "openat2", "seccomp"])
def test_ordinary_calls_pass(program: bytes, call: str) -> None:
    assert decide(program, CALLS[call]) == ALLOW


@pytest.mark.parametrize("call", ["ptrace", "mount", "unshare", "keyctl", "chroot", "bpf"])
def test_closed_calls_answer_eperm(program: bytes, call: str) -> None:
    assert decide(program, CALLS[call]) == ERRNO | 1


def test_clone_makes_no_namespaces(program: bytes) -> None:
    assert decide(program, CALLS["clone"], 0x01200011) == ALLOW
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(program, CALLS["clone"], 0x11 | bit) == ERRNO | 1
    assert decide(program, CALLS["clone3"]) == ERRNO | 38


def test_socket_families(program: bytes) -> None:
    refused = {family for family in range(48) if decide(program, CALLS["socket"], family) != ALLOW}
    assert refused == {38, 40}


def test_personalities(program: bytes) -> None:
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert decide(program, CALLS["personality"], value) == ALLOW
    assert decide(program, CALLS["personality"], 0x40000) == ERRNO | 1  # ADDR_NO_RANDOMIZE


def test_a_machine_that_is_not_named_is_killed() -> None:
    only = default_profile((), "x86_64")._replace(architectures=("SCMP_ARCH_X86_64",))
    assert decide(compile_filter(only).program, 3, machine=AUDIT_I386) == KILL_THREAD


@pytest.mark.parametrize("capabilities", [(), ("CAP_SYS_ADMIN",), tuple(NAMES)])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_the_json_form_says_the_same(capabilities: tuple[str, ...], machine: str) -> None:
    profile = default_profile(capabilities, machine)
    raw = json.dumps({
        "ociVersion": "1.2.0",
        "root": {"path": "r"},
        "linux": {"seccomp": document(profile)},
    })  # fmt: skip
    assert parse(raw.encode()).linux.seccomp == profile


def rules(*given: SeccompRule, **members: object) -> Seccomp:
    return Seccomp("SCMP_ACT_ALLOW", rules=given)._replace(**members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (rules(default_action="SCMP_ACT_PERHAPS"), "action 'SCMP_ACT_PERHAPS'"),
        (rules(architectures=("SCMP_ARCH_PDP11",)), "architecture 'SCMP_ARCH_PDP11'"),
        (rules(flags=("SECCOMP_FILTER_FLAG_X",)), "flag 'SECCOMP_FILTER_FLAG_X'"),
        (rules(SeccompRule(("read",), "SCMP_ACT_NOTIFY")), "action 'SCMP_ACT_NOTIFY'"),
        (
            rules(SeccompRule(("read",), "SCMP_ACT_ERRNO", 1, (SeccompArgument(0, 1, "=="),))),
            "operator '=='",
        ),
        (
            rules(
                SeccompRule(("read",), "SCMP_ACT_ERRNO", 1, (SeccompArgument(6, 1, "SCMP_CMP_EQ"),))
            ),
            "argument 6",
        ),
    ],
)
def test_what_can_not_be_honoured_is_refused(profile: Seccomp, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        compile_filter(profile)


def test_comparisons_of_different_arguments_must_all_hold() -> None:
    both = (SeccompArgument(0, 1, "SCMP_CMP_EQ"), SeccompArgument(1, 2, "SCMP_CMP_EQ"))
    program = compile_filter(rules(SeccompRule(("read",), "SCMP_ACT_ERRNO", 5, both))).program
    assert decide(program, 0, 1, 2) == ERRNO | 5
    assert decide(program, 0, 1, 3) == ALLOW


def test_comparisons_of_one_argument_are_alternatives() -> None:
    either = (SeccompArgument(0, 1, "SCMP_CMP_EQ"), SeccompArgument(0, 2, "SCMP_CMP_EQ"))
    program = compile_filter(rules(SeccompRule(("read",), "SCMP_ACT_ERRNO", 5, either))).program
    assert [decide(program, 0, n) for n in (1, 2, 3)] == [ERRNO | 5, ERRNO | 5, ALLOW]


def test_flags_are_carried() -> None:
    flags = ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
    assert compile_filter(rules(flags=flags)).flags == 6


def test_a_kept_filter_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"{tmp_path}/filters"
    profile = rules(SeccompRule(("sync",), "SCMP_ACT_ERRNO", 5))
    first = kept_filter(profile, folder)

    def fail(_: Seccomp) -> Filter:
        raise AssertionError("compiled again")

    monkeypatch.setattr(seccomp, "compile_filter", fail)
    assert kept_filter(profile, folder) == first


@pytest.mark.parametrize("keep", [0, 10, 40])
def test_a_kept_filter_that_is_not_whole_is_made_anew(tmp_path: Path, keep: int) -> None:
    folder = f"{tmp_path}/filters"
    profile = rules(SeccompRule(("sync",), "SCMP_ACT_ERRNO", 6))
    first = kept_filter(profile, folder)
    (name,) = os.listdir(folder)
    os.truncate(f"{folder}/{name}", keep)
    assert kept_filter(profile, folder) == first
    assert os.listdir(folder) == [name]
    assert os.stat(f"{folder}/{name}").st_size == len(first.program) + 32


def test_a_kept_filter_under_anothers_name_is_not_taken(tmp_path: Path) -> None:
    folder = str(tmp_path / "filters")
    strict, loose = rules(SeccompRule(("sync",), "SCMP_ACT_ERRNO", 5)), rules()
    kept_filter(strict, folder)
    (name,) = os.listdir(folder)
    kept_filter(loose, folder)
    (other,) = set(os.listdir(folder)) - {name}
    os.replace(f"{folder}/{other}", f"{folder}/{name}")
    assert kept_filter(strict, folder) == compile_filter(strict)


def test_a_folder_that_can_not_be_written_is_no_error(tmp_path: Path) -> None:
    with open(f"{tmp_path}/file", "w"):
        profile = rules(SeccompRule(("sync",), "SCMP_ACT_ERRNO", 7))
    assert kept_filter(profile, f"{tmp_path}/file/inner") == compile_filter(profile)
