"""A container's init, from its fork to its exit: the recipe that closes the sandbox.

The stages are in the order in which they must happen; each stage's comment says why it stands
where it does. A failure is reported with the stage's name; the process then ends, and what it had
set up ends with it, since all of that is in namespaces of its own.
Source: runtime-spec, runtime.md "Lifecycle"; pivot_root(2); capabilities(7); seccomp(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import sys
import termios
from typing import NamedTuple

from wasmimg_images.errors import HostError
from wasmimg_shim import report
from wasmimg_shim.hooks import run_here
from wasmimg_shim.linux import caps, libc, namespaces, rlimits
from wasmimg_shim.linux.kernel import Kernel
from wasmimg_shim.linux.root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from wasmimg_shim.hooks import State
    from wasmimg_shim.linux.caps import CapabilitySets
    from wasmimg_shim.linux.cgroup import Cgroup
    from wasmimg_shim.linux.mounts import Operation
    from wasmimg_shim.sandbox import Program
    from wasmimg_shim.seccomp import Filter
    from wasmimg_shim.spec import Hooks, Process

#: what the parent writes once hooks have run, and at Start
HOOKED, START = b"h", b"s"
#: exit status of an init that failed before its program ran, or whose program raised
LOST = 255
HIGHEST_FD = 0xFFFFFFFF
#: what the kernel raises in a thread for its own faults: these must not be blocked (sigaction(2))
SYNCHRONOUS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGABRT,
}


class Sandbox(NamedTuple):
    """Everything that init sets up, worked out beforehand (`sandbox.plan`)."""

    rootfs: str
    namespace_flags: int
    new_network: bool
    hostname: str
    domainname: str
    operations: tuple[Operation, ...]
    sysctls: tuple[tuple[str, str], ...]
    propagation: int
    process: Process
    rlimits: tuple[tuple[str, int, int], ...]
    capabilities: CapabilitySets
    seccomp: Filter | None
    hooks: Hooks
    state: State
    cgroup: Cgroup


class Ends(NamedTuple):
    """Descriptors that init is born with: `joined` are (type, path, descriptor) of namespaces."""

    stdio: tuple[int, int, int]
    status: int
    control: int
    keep: tuple[int, ...]
    joined: tuple[tuple[str, str, int], ...]


class _Stage:
    """The name of what is being done, for the report of its failure."""

    name = "init"


def main(sandbox: Sandbox, program: Program, ends: Ends) -> NoReturn:
    """Close the sandbox, confirm, wait for Start, run the program, exit with its status."""
    stage = _Stage()
    try:
        _close(sandbox, program, ends, stage)
        report.write_ready(ends.status)
    except BaseException as error:  # noqa: BLE001 - a process boundary
        report.write_failure(ends.status, stage.name, error)
        os._exit(LOST)
    if not sandbox.hooks.start_container:
        os.close(ends.status)
    if os.read(ends.control, 1) != START:
        # the shim has died: nobody could ever start or stop this container
        os._exit(LOST)
    os.close(ends.control)
    if sandbox.hooks.start_container:
        _run_start_hooks(sandbox, ends)
    status = LOST
    try:
        status = program.run()
    except BaseException as error:  # noqa: BLE001 - a process boundary
        line = f"wasmimg: {type(error).__name__}: {error}\n"
        os.write(2, line.encode(errors="replace"))
    finally:
        os._exit(status & 0xFF)


def _close(sandbox: Sandbox, program: Program, ends: Ends, stage: _Stage) -> None:
    stage.name = "descriptors"
    _take_signals()
    _take_descriptors(ends)
    os.setsid()
    os.umask(0)
    if sandbox.process.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    # While paths are still the host's.
    stage.name = "load"
    program.load()
    _refuse_directories(ends)

    # From here on memory and processes are the container's.
    stage.name = "cgroup"
    sandbox.cgroup.enter()
    _set_oom_score(sandbox.process.oom_score_adj)

    stage.name = "namespaces"
    _enter_namespaces(sandbox, ends)

    stage.name = "mounts"
    _build(sandbox, stage)
    _run_create_hooks(sandbox, ends, stage)
    stage.name = "pivot_root"
    _pivot(sandbox)

    stage.name = "limits"
    for kind, soft, hard in sandbox.rlimits:
        rlimits.apply(kind, soft, hard)

    stage.name = "privileges"
    _forget_import_paths()
    _drop_privileges(sandbox, stage)


def _run_create_hooks(sandbox: Sandbox, ends: Ends, stage: _Stage) -> None:
    hooks = sandbox.hooks
    stage.name = "hooks"
    if hooks.prestart or hooks.create_runtime:
        report.write_surrounded(ends.status)
        if os.read(ends.control, 1) != HOOKED:
            raise HostError("the shim has died while it ran hooks")
    # Paths are still the host's, as they have to be for these.
    state = sandbox.state.document("creating", os.getpid())
    run_here("createContainer", hooks.create_container, state)


def _run_start_hooks(sandbox: Sandbox, ends: Ends) -> None:
    """Run them as the guest will run, and tell the shim, whose Start waits."""
    state = sandbox.state.document("created", os.getpid())
    try:
        run_here("startContainer", sandbox.hooks.start_container, state)
        report.write_ready(ends.status)
    except BaseException as error:  # noqa: BLE001 - a process boundary
        report.write_failure(ends.status, "hooks", error)
        os._exit(LOST)
    os.close(ends.status)


def _take_signals() -> None:
    """Undo the shim's handlers; keep blocked what the program will wait for."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if signal.getsignal(number) not in {signal.SIG_DFL, None}:
            signal.signal(number, signal.SIG_DFL)
    # A write to a closed pipe is the guest's EPIPE, not init's death.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - SYNCHRONOUS)


def _take_descriptors(ends: Ends) -> None:
    """Put stdio in place and close everything that is not for this container."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in ends.stdio]
    for number, fd in enumerate(moved):
        os.dup2(fd, number, inheritable=True)
    close_all_but({0, 1, 2, ends.status, ends.control, *ends.keep, *(e[2] for e in ends.joined)})


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor from 0 up that is not in `kept`."""
    first = 0
    for fd in sorted(kept):
        if fd > first:
            libc.close_range(first, fd - 1)
        first = fd + 1
    libc.close_range(first, HIGHEST_FD)


def _refuse_directories(ends: Ends) -> None:
    """An open directory of the host would be a way out of any root."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            mode = os.fstat(fd).st_mode
        except OSError as error:
            if error.errno != errno.EBADF:  # the listing's own
                raise
            continue
        if stat.S_ISDIR(mode) and fd not in ends.stdio:
            raise HostError(f"the program holds a directory of the host open (descriptor {fd})")


def _set_oom_score(value: int | None) -> None:
    if value is None:
        return
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except PermissionError:
        # Lowering needs CAP_SYS_RESOURCE, which a nested host lacks; runc's rootless mode goes on
        # as well. The container is then killed no later than the shim would be.
        return


def _enter_namespaces(sandbox: Sandbox, ends: Ends) -> None:
    for kind, path, fd in ends.joined:
        if kind != "pid":
            libc.setns(fd, namespaces.FLAGS[kind], path)
        os.close(fd)
    libc.unshare(sandbox.namespace_flags)
    libc.join_session_keyring()
    if sandbox.new_network:
        namespaces.bring_loopback_up()
    if sandbox.hostname:
        libc.sethostname(sandbox.hostname)
    if sandbox.domainname:
        libc.setdomainname(sandbox.domainname)
    for path, value in sandbox.sysctls:
        namespaces.write_sysctl(path, value)


def _build(sandbox: Sandbox, stage: _Stage) -> None:
    """Lay the container's file system out below a copy of its root's mount."""
    # Nothing that is mounted here may appear on the host; what the host unmounts may vanish here.
    libc.mount("", "/", "", libc.MS_REC | libc.MS_SLAVE, "")
    kernel = Kernel()
    tree = kernel.clone(sandbox.rootfs, recursive=True)
    place = os.open(sandbox.rootfs, libc.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.attach(tree, place, sandbox.rootfs)
        root = Root(tree)
        for operation in sandbox.operations:
            stage.name = operation.describe()
            operation.execute(root, kernel)
        os.fchdir(tree)
    finally:
        os.close(place)
        os.close(tree)


def _pivot(sandbox: Sandbox) -> None:
    # With both arguments "." the old root lies over the new one, and is then unmounted
    # (pivot_root(2), "pivot_root(".", ".")").
    libc.pivot_root(".", ".")
    libc.umount2(".", libc.MNT_DETACH)
    os.chdir("/")
    if sandbox.propagation:
        libc.mount("", "/", "", sandbox.propagation, "")


def _forget_import_paths() -> None:
    """Whatever is not loaded yet could only come from the image now, so nothing more is found."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [
        finder
        for finder in sys.meta_path
        if getattr(finder, "__name__", "") in {"BuiltinImporter", "FrozenImporter"}
    ]


def _drop_privileges(sandbox: Sandbox, stage: _Stage) -> None:
    """Become the user, drop to the capabilities given, install the filter of system calls."""
    user = sandbox.process.user
    caps.drop_bounding(sandbox.capabilities)
    libc.prctl(libc.PR_SET_KEEPCAPS, 1)
    os.setgroups(user.additional_gids)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    libc.prctl(libc.PR_SET_KEEPCAPS, 0)
    # As the user: a folder that only root may enter is no working directory for it.
    stage.name = "working directory"
    os.chdir(sandbox.process.cwd)
    if not os.getcwd().startswith("/"):
        raise FileNotFoundError(errno.ENOENT, "outside of the root", sandbox.process.cwd)
    os.umask(0o022 if user.umask is None else user.umask)
    filter_ = sandbox.seccomp
    if sandbox.process.no_new_privileges:
        stage.name = "capabilities"
        caps.apply(sandbox.capabilities)
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        stage.name = "seccomp"
        if filter_ is not None:
            libc.seccomp_filter(filter_.program, filter_.flags)
        return
    # Without no_new_privs the filter needs CAP_SYS_ADMIN, so the capabilities come after it.
    # setresuid has cleared the effective set of what it kept as permitted.
    stage.name = "seccomp"
    if filter_ is not None:
        everything = caps.permitted()
        libc.capset(everything, everything, 0)
        libc.seccomp_filter(filter_.program, filter_.flags)
    stage.name = "capabilities"
    caps.apply(sandbox.capabilities)
