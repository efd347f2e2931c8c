"""The default filter of system calls, for our own init and, as JSON, for runc.

An allow list. What may be called is what programs need and what the kernel confines by itself; left
out are calls that reach the whole machine (modules, clocks, swap, kexec), that open large and little
used parts of the kernel (BPF, performance counters, userfaultfd, io_uring, keyrings), or that are
obsolete. A capability opens the calls it is meant for. It is no wider than Docker's profile, and
narrower where the comments say so; `tests/unit/shim/test_seccomp_profile.py` holds it to that.
Source of the names: the kernel's system call tables, up to Linux 6.10.
"""

from __future__ import annotations

import errno
import os

from wasmimg_shim.spec import Seccomp, SeccompArgument, SeccompRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
    faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32
    fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
    getxattr lchown lchown32 lgetxattr link linkat listxattr llistxattr _llseek lremovexattr lseek
    lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat
    openat2 readahead readlink readlinkat removexattr rename renameat renameat2 rmdir setxattr stat
    stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs truncate truncate64
    umask unlink unlinkat utime utimensat utimensat_time64 utimes
"""
TRANSFERS = """
    ioctl pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv sendfile sendfile64
    splice tee vmsplice write writev io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit
"""
POLLING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    fanotify_mark _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd
    signalfd4
"""
SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
MEMORY = """
    brk cachestat get_thread_area madvise map_shadow_stack membarrier memfd_create memfd_secret
    mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap
    pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages set_thread_area
"""
PROCESSES = """
    capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32
    getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32
    ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self pause
    pidfd_open pidfd_send_signal prctl prlimit64 rseq sched_getaffinity sched_getattr
    sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
    set_tid_address setuid setuid32 sysinfo times ugetrlimit uname vfork wait4 waitid waitpid
"""
SIGNALS = """
    kill restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signal
    sigaction sigpending sigprocmask sigreturn sigsuspend tgkill tkill
"""
FUTEXES = """
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list
    set_robust_list
"""
CLOCKS = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getrandom gettimeofday nanosleep time
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64
"""
SYSTEM_V = """
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
    semtimedop_time64 shmat shmctl shmdt shmget
"""
GROUPS = (
    FILES,
    TRANSFERS,
    POLLING,
    SOCKETS,
    MEMORY,
    PROCESSES,
    SIGNALS,
    FUTEXES,
    CLOCKS,
    SYSTEM_V,
)
ALLOWED = tuple(name for group in GROUPS for name in group.split())
#: calls that only one kind of processor has
OF_MACHINE = {
    "x86_64": ("arch_prctl", "modify_ldt"),
    "aarch64": ("arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls",
                "sync_file_range2"),
}  # fmt: skip
#: a machine's own calls first, then those of its older modes
ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
#: what a capability is meant for (capabilities(7))
OF_CAPABILITY = {
    "CAP_BPF": ("bpf",),
    "CAP_DAC_READ_SEARCH": ("open_by_handle_at",),
    "CAP_PERFMON": ("perf_event_open",),
    "CAP_SYS_ADMIN": (
        "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
        "lookup_dcookie", "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open",
        "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "umount",
        "umount2", "unshare",
    ),
    "CAP_SYS_BOOT": ("reboot",),
    "CAP_SYS_CHROOT": ("chroot",),
    "CAP_SYS_MODULE": ("delete_module", "finit_module", "init_module"),
    "CAP_SYS_NICE": ("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"),
    "CAP_SYS_PACCT": ("acct",),
    # Narrower than Docker: another process's memory only with the capability on every kernel.
    "CAP_SYS_PTRACE": (
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ),
    "CAP_SYS_RAWIO": ("ioperm", "iopl"),
    "CAP_SYS_TIME": ("clock_settime", "clock_settime64", "settimeofday", "stime"),
    "CAP_SYS_TTY_CONFIG": ("vhangup",),
    "CAP_SYSLOG": ("syslog",),
}  # fmt: skip
#: sys/personality.h: Linux, 32 bit addresses, and both with the UNAME26 flag; asking changes nothing
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
#: linux/sched.h: every CLONE_NEW… flag of clone(2)
CLONE_NAMESPACES = 0x7E020000
#: sys/socket.h. Narrower than Docker: the kernel's cryptography, which nothing needs and which has
#: had several holes, is closed as well as the way to the hypervisor.
AF_ALG, AF_VSOCK = 38, 40


def default_profile(
    capabilities: Collection[str] = (), machine: str = os.uname().machine
) -> Seccomp:
    """Make the filter for a container with these capabilities (of the bounding set)."""
    opened = {
        name
        for capability, names in OF_CAPABILITY.items()
        if capability in capabilities
        for name in names
    }
    rules = [
        SeccompRule((*ALLOWED, *OF_MACHINE.get(machine, ()), *sorted(opened)), "SCMP_ACT_ALLOW"),
        *(_allow("personality", "SCMP_CMP_EQ", value) for value in PERSONALITIES),
        _allow("socket", "SCMP_CMP_LT", AF_ALG),
        _allow("socket", "SCMP_CMP_EQ", AF_ALG + 1),
        _allow("socket", "SCMP_CMP_GT", AF_VSOCK),
    ]
    if "clone" not in opened:
        # The flags of clone3 lie in memory, where no filter can look: ENOSYS makes libraries use
        # clone, whose flags can be seen.
        rules += [
            _allow("clone", "SCMP_CMP_MASKED_EQ", CLONE_NAMESPACES, 0),
            SeccompRule(("clone3",), "SCMP_ACT_ERRNO", errno.ENOSYS),
        ]
    return Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno=errno.EPERM,
        architectures=ARCHITECTURES.get(machine, ()),
        rules=tuple(rules),
    )


def _allow(call: str, op: str, value: int, value_two: int = 0) -> SeccompRule:
    comparison = SeccompArgument(0, value, op, value_two)
    return SeccompRule((call,), "SCMP_ACT_ALLOW", arguments=(comparison,))


def document(seccomp: Seccomp) -> dict[str, object]:
    """Write a filter as the `linux.seccomp` of a bundle's configuration."""
    members: dict[str, object] = {
        "defaultAction": seccomp.default_action,
        "architectures": list(seccomp.architectures),
        "flags": list(seccomp.flags),
        "syscalls": [_rule(rule) for rule in seccomp.rules],
    }
    if seccomp.default_errno is not None:
        members["defaultErrnoRet"] = seccomp.default_errno
    return members


def _rule(rule: SeccompRule) -> dict[str, object]:
    members: dict[str, object] = {"names": list(rule.names), "action": rule.action}
    if rule.errno is not None:
        members["errnoRet"] = rule.errno
    if rule.arguments:
        members["args"] = [
            {
                "index": argument.number,
                "value": argument.value,
                "valueTwo": argument.value_two,
                "op": argument.op,
            }
            for argument in rule.arguments
        ]
    return members
