"""Filters of system calls really filter."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket

import pytest

from wasmimg_shim.seccomp_profile import default_profile, document
from wasmimg_testing.sandbox import DOCKER_CAPABILITIES, Boxes, attempt

pytestmark = pytest.mark.root
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
CALLS = {"keyctl": 250, "add_key": 248, "bpf": 321, "io_uring_setup": 425, "userfaultfd": 323,
         "kexec_load": 246, "reboot": 169, "init_module": 175, "swapon": 167, "ptrace": 101}  # fmt: skip


def system_call(*arguments: int) -> None:
    if LIBC.syscall(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_the_default_denies_what_it_leaves_out(
    boxes: Boxes, no_new_privileges: bool, uid: int
) -> None:
    process = boxes.configuration["process"]
    process["noNewPrivileges"], process["user"]["uid"] = no_new_privileges, uid
    boxes.configuration["linux"]["seccomp"] = document(default_profile(DOCKER_CAPABILITIES))

    def run() -> object:
        answers = {name: attempt(lambda n=n: system_call(n, 0, 0, 0)) for name, n in CALLS.items()}
        answers["mount"] = attempt(lambda: system_call(165, 0, 0, 0, 0, 0))
        answers["unshare"] = attempt(lambda: system_call(272, CLONE_NEWUSER))
        answers["clone"] = attempt(lambda: system_call(56, CLONE_NEWUSER | signal.SIGCHLD, 0))
        answers["clone3"] = attempt(lambda: system_call(435, 0, 0))
        answers["vsock"] = attempt(lambda: socket.socket(40, socket.SOCK_STREAM))
        answers["alg"] = attempt(lambda: socket.socket(38, socket.SOCK_SEQPACKET))
        return answers

    answers = boxes.value(run)
    assert answers.pop("clone3") == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}, answers


def test_the_default_allows_what_our_hosts_need(boxes: Boxes) -> None:
    boxes.configuration["linux"]["seccomp"] = document(default_profile(()))
    boxes.configuration["process"]["capabilities"] = {}
    (boxes.rootfs / "file").write_text("content")

    def run() -> object:
        poller = selectors.EpollSelector()
        ours, theirs = socket.socketpair()
        poller.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        ready = len(poller.select(5))
        pidfd = os.pidfd_open(os.getpid())
        how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0x08)
        fd = LIBC.syscall(437, -100, b"file", how, 24)
        libc_mmap = LIBC.mmap
        libc_mmap.restype = ctypes.c_void_p
        page = libc_mmap(None, 4096, 3, 0x22, -1, 0)
        executable = LIBC.mprotect(ctypes.c_void_p(page), 4096, 5)
        memory = os.memfd_create("x")
        signals = LIBC.signalfd(-1, (ctypes.c_uint64 * 16)(1), 0)
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        child = os.fork()
        if not child:
            os._exit(3)
        _, status = os.waitpid(child, 0)
        numbers = [fd, pidfd, memory, signals]
        return ready, executable, min(numbers) > 2, os.waitstatus_to_exitcode(status)

    assert boxes.value(run) == [1, 0, True, 3]


def test_rules_of_a_bundle_are_honoured(boxes: Boxes) -> None:
    boxes.configuration["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": ["sethostname", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
            {
                "names": ["umask"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 0o777, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }

    def run() -> object:
        denied = attempt(lambda: system_call(95, 0o777))
        return (
            attempt(lambda: system_call(170, 0, 0)),
            denied,
            attempt(lambda: system_call(95, 0o77)),
        )

    assert boxes.value(run) == ["EBADFD", "EPERM", "done"]


def test_a_killing_rule_kills(boxes: Boxes) -> None:
    boxes.configuration["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["umask"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    assert boxes.run(lambda: os.umask(0)).status == -signal.SIGSYS


def test_mounting_takes_both_the_capability_and_the_rule(boxes: Boxes) -> None:
    given = [*DOCKER_CAPABILITIES, "CAP_SYS_ADMIN"]
    boxes.configuration["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), given
    )
    boxes.configuration["linux"]["seccomp"] = document(default_profile(given))
    assert boxes.value(lambda: attempt(lambda: system_call(272, CLONE_NEWNS))) == "done"
