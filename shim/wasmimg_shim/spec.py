"""The values of an OCI runtime configuration (`config.json`), as this runtime uses them.

Only values live here: no files, no parsing (`bundle`), no effects. Names are those of the OCI
runtime specification 1.2 in Python's spelling; what it leaves optional is None or empty.
Source: OCI runtime-spec, config.md and config-linux.md.
"""

from __future__ import annotations

from typing import NamedTuple


class User(NamedTuple):
    """Who the process is; numbers as the container sees them."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Capabilities(NamedTuple):
    """The five capability sets, by kernel names such as CAP_CHOWN."""

    bounding: frozenset[str] = frozenset()
    effective: frozenset[str] = frozenset()
    inheritable: frozenset[str] = frozenset()
    permitted: frozenset[str] = frozenset()
    ambient: frozenset[str] = frozenset()


class Rlimit(NamedTuple):
    """One resource limit; `type` is a name such as RLIMIT_NOFILE."""

    type: str
    soft: int
    hard: int


class Process(NamedTuple):
    """The container's first process."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    capabilities: Capabilities = Capabilities()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    terminal: bool = False


class Mount(NamedTuple):
    """A mount below the container's root; options in the words of mount(8)."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


class Namespace(NamedTuple):
    """A namespace to make (`path` empty) or to join."""

    type: str
    path: str = ""


class IdMapping(NamedTuple):
    """A range of ids of a user namespace."""

    container_id: int
    host_id: int
    size: int


class Device(NamedTuple):
    """A device node; `type` is one of c, b, u, p."""

    path: str
    type: str
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


class DeviceRule(NamedTuple):
    """A rule of the device cgroup; None stands for every number."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Memory(NamedTuple):
    """Limits in bytes, -1 for none; `swap` counts memory and swap together."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool = False


class Cpu(NamedTuple):
    """Shares, and quota and period in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    cpus: str = ""
    mems: str = ""


class Resources(NamedTuple):
    """What the container's cgroup limits."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory = Memory()
    cpu: Cpu = Cpu()
    pids_limit: int | None = None
    blkio_weight: int | None = None
    unified: tuple[tuple[str, str], ...] = ()


class SeccompArgument(NamedTuple):
    """A comparison of the argument `number`, from 0, of a system call; `op` as in SCMP_CMP_EQ."""

    number: int
    value: int
    op: str
    value_two: int = 0


class SeccompRule(NamedTuple):
    """What to do with the named system calls."""

    names: tuple[str, ...]
    action: str
    errno: int | None = None
    arguments: tuple[SeccompArgument, ...] = ()


class Seccomp(NamedTuple):
    """A filter of system calls; hashable, so that a compiled filter can be kept by it."""

    default_action: str
    default_errno: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    rules: tuple[SeccompRule, ...] = ()


class Hook(NamedTuple):
    """A program to run at a point of the container's life; timeout in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Hooks(NamedTuple):
    """The six kinds of hooks (config.md, "POSIX-platform Hooks")."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


class Linux(NamedTuple):
    """The Linux part of the configuration."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources = Resources()
    sysctl: tuple[tuple[str, str], ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = None


class Spec(NamedTuple):
    """A whole `config.json`; `root_path` is as written, relative to the bundle or absolute."""

    oci_version: str
    root_path: str
    root_readonly: bool = False
    process: Process = Process()
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    linux: Linux = Linux()
    hooks: Hooks = Hooks()
    annotations: tuple[tuple[str, str], ...] = ()
