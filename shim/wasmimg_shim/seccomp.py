"""Filters of system calls: the specification's rules compiled to BPF by libseccomp.

Compiled filters are kept by their rules: a shim with many containers, or a zygote that compiled the
default before it forked, pays once. Loading is `linux.libc.seccomp_filter`, in init.
Source: runtime-spec, config-linux.md "Seccomp"; seccomp_rule_add(3), seccomp_export_bpf(3).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
from typing import NamedTuple

from wasmimg_images.errors import HostError, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.spec import Seccomp, SeccompRule

LIBRARY = "libseccomp.so.2"
#: seccomp.h
ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
}
#: actions that carry a number
NUMBERED = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"})
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
#: seccomp(2)
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}
SCMP_FLTATR_CTL_OPTIMIZE = 8
BINARY_TREE = 2
UNKNOWN_CALL = -1
MOST_ARGUMENTS = 6
DIGEST_SIZE = 32


class scmp_arg_cmp(ctypes.Structure):  # noqa: N801 - the C name
    """seccomp.h."""

    _fields_ = (  # type: ignore[mutable-override]  # a tuple can't be changed by mistake
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Filter(NamedTuple):
    """A compiled filter: an array of struct sock_filter, and flags for seccomp(2)."""

    program: bytes
    flags: int


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise HostError(
            f"{LIBRARY} is missing: a container's seccomp profile can't be applied",
            hint="install libseccomp (Debian: libseccomp2)",
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_version.restype = ctypes.c_void_p
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    )
    return library


@functools.lru_cache(maxsize=16)
def compile_filter(seccomp: Seccomp) -> Filter:
    """Compile a filter. Raises InvalidInput for unknown actions, operators or architectures.

    Calls whose names libseccomp does not know are left out, as runc does it: this kernel has no
    such call, or it falls under the default action.
    """
    flags = _flags(seccomp)
    library = _library()
    default = _action(seccomp.default_action, seccomp.default_errno)
    context = library.seccomp_init(default)
    if not context:
        raise InvalidInput(f"seccomp: libseccomp refuses {seccomp.default_action} as the default")
    try:
        for name in seccomp.architectures:
            _add_architecture(library, context, name)
        # a search tree instead of a list: fewer instructions on every call (libseccomp 2.5)
        library.seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE)
        for rule in seccomp.rules:
            _add_rule(library, context, rule, default)
        return Filter(_export(library, context), flags)
    finally:
        library.seccomp_release(context)


def kept_filter(seccomp: Seccomp, folder: str) -> Filter:
    """Compile a filter, or take it from a folder that only this user may write to.

    Docker's profile takes 12 ms to compile and is the same for all containers. A file that is not
    whole is made anew; that it can't be written (a full disk) is no error.
    """
    library = _library()
    key = f"{seccomp!r} {os.uname().machine} {_version(library)}"
    path = os.path.join(folder, hashlib.sha256(key.encode()).hexdigest())
    flags = _flags(seccomp)
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        digest, program = stream.read(DIGEST_SIZE), stream.read()
        ours = os.fstat(stream.fileno()).st_uid == os.geteuid()
        if ours and digest == _seal(key, program):
            return Filter(program, flags)
    compiled = compile_filter(seccomp)
    partial = f"{path}.{os.getpid()}"
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        with open(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(_seal(key, compiled.program) + compiled.program)
        os.rename(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    return compiled


def _seal(key: str, program: bytes) -> bytes:
    """Bind a program to its rules, so that a file under another's name is not taken for it."""
    return hashlib.sha256(key.encode() + program).digest()


def _version(library: ctypes.CDLL) -> str:
    numbers = ctypes.cast(library.seccomp_version(), ctypes.POINTER(ctypes.c_uint))
    return ".".join(str(numbers[n]) for n in range(3))


def _flags(seccomp: Seccomp) -> int:
    flags = 0
    for name in seccomp.flags:
        if name not in FLAGS:
            raise InvalidInput(f"seccomp flag {name!r} is not supported")
        flags |= FLAGS[name]
    return flags


def _action(name: str, number: int | None) -> int:
    if name not in ACTIONS:
        raise InvalidInput(f"seccomp action {name!r} is not supported")
    if name not in NUMBERED:
        return ACTIONS[name]
    # config-linux.md: EPERM where no number is given
    return ACTIONS[name] | ((errno.EPERM if number is None else number) & 0xFFFF)


def _add_architecture(library: ctypes.CDLL, context: int, name: str) -> None:
    short = name.removeprefix("SCMP_ARCH_").lower()
    token = library.seccomp_arch_resolve_name(short.encode())
    if not token:
        raise InvalidInput(f"seccomp architecture {name!r} is unknown")
    result = library.seccomp_arch_add(context, token)
    if result not in {0, -errno.EEXIST}:
        raise OSError(-result, os.strerror(-result), name)


def _add_rule(library: ctypes.CDLL, context: int, rule: SeccompRule, default: int) -> None:
    action = _action(rule.action, rule.errno)
    if action == default:
        # libseccomp refuses rules that say what is so anyway
        return
    for array in _argument_sets(rule):
        for name in rule.names:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == UNKNOWN_CALL:
                continue
            result = library.seccomp_rule_add_array(context, action, number, len(array), array)
            if result:
                raise OSError(-result, f"seccomp rule: {os.strerror(-result)}", name)


def _argument_sets(rule: SeccompRule) -> list[ctypes.Array[scmp_arg_cmp]]:
    """All comparisons of a rule must hold at once; those of one argument each make a rule instead.

    libseccomp takes one comparison for an argument, and runc defines what several mean: any of
    them is enough.
    """
    comparisons: list[scmp_arg_cmp] = []
    for argument in rule.arguments:
        if argument.op not in OPERATORS:
            raise InvalidInput(f"seccomp operator {argument.op!r} is unknown")
        if argument.number >= MOST_ARGUMENTS:
            raise InvalidInput(f"seccomp argument {argument.number}: calls have six, from 0")
        comparisons.append(
            scmp_arg_cmp(
                argument.number, OPERATORS[argument.op], argument.value, argument.value_two
            )
        )
    indexes = [argument.number for argument in rule.arguments]
    if len(set(indexes)) == len(indexes):
        return [(scmp_arg_cmp * len(comparisons))(*comparisons)]
    return [(scmp_arg_cmp * 1)(comparison) for comparison in comparisons]


def _export(library: ctypes.CDLL, context: int) -> bytes:
    """Let libseccomp write the program to memory: older versions know only descriptors."""
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        result = library.seccomp_export_bpf(context, fd)
        if result:
            raise OSError(-result, f"seccomp: {os.strerror(-result)}")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
