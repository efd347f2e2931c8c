"""The OCI runtime configuration of a container: image config and options become config.json.

Pure: everything found out about the host comes in by `Placement`. The defaults are Docker's, as
its users know them. Source: OCI runtime-spec config.md and config-linux.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmimg_compose.accounts import Account
    from wasmimg_compose.container import ContainerSpec, Limits
    from wasmimg_images.config import ImageConfig

OCI_VERSION: Final = "1.0.2"
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES: Final = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
#: Character devices that the device cgroup lets through: null, zero, full, random, urandom, tty,
#: console, ptmx and the pseudo terminals.
DEVICES: Final = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, -1))
CPU_PERIOD: Final = 100_000


class BindMount(NamedTuple):
    """A host path that is mounted into the container."""

    source: str
    target: str
    read_only: bool = False


class TmpfsMount(NamedTuple):
    """A file system in memory; options as mount(8) has them."""

    target: str
    read_only: bool = False
    options: tuple[str, ...] = ()


class Placement(NamedTuple):
    """What was found out and made for one container on this host.

    `network` is the path of its network namespace, "" for one of its own, None for the host's.
    `open_files` is the hard limit this process may pass on, `counts_swap` whether the kernel can
    limit swap.
    """

    rootfs: str
    hostname: str
    account: Account
    cgroup: str
    network: str | None
    mounts: Sequence[BindMount | TmpfsMount]
    seccomp: object
    open_files: int
    is_wasm: bool
    counts_swap: bool = False


def arguments(image: ImageConfig, spec: ContainerSpec) -> list[str]:
    """Put entrypoint and command together; InvalidInput if nothing is left to run."""
    if spec.entrypoint is not None:
        found = [*spec.entrypoint, *(spec.command or ())]
    else:
        command = image.cmd if spec.command is None else spec.command
        found = [*image.entrypoint, *command]
    if not found:
        raise InvalidInput(
            f"{spec.image}: the image names no entrypoint",
            hint="say what to run after the image's name",
        )
    return found


def environment(image: ImageConfig, spec: ContainerSpec, placement: Placement) -> list[str]:
    """Merge the image's environment and the user's, which wins, over the defaults."""
    merged = {
        "PATH": DEFAULT_PATH,
        "HOSTNAME": placement.hostname,
        "HOME": placement.account.home,
    }
    for entry in image.env:
        name, _, value = entry.partition("=")
        merged[name] = value
    merged.update(spec.env)
    return [f"{name}={value}" for name, value in merged.items()]


def config(image: ImageConfig, spec: ContainerSpec, placement: Placement) -> dict[str, object]:
    """Make the whole config.json."""
    return {
        "ociVersion": OCI_VERSION,
        "root": {"path": placement.rootfs, "readonly": spec.read_only},
        "hostname": placement.hostname,
        "process": _process(image, spec, placement),
        "mounts": _mounts(placement),
        "linux": _linux(spec, placement),
    }


def _process(image: ImageConfig, spec: ContainerSpec, placement: Placement) -> dict[str, object]:
    account = placement.account
    # As Docker: root holds the default set, others can only gain it from a set-uid program.
    held = list(CAPABILITIES) if account.uid == 0 else []
    return {
        "terminal": False,
        "user": {
            "uid": account.uid,
            "gid": account.gid,
            "additionalGids": list(account.groups),
        },
        "args": arguments(image, spec),
        "env": environment(image, spec, placement),
        "cwd": working_directory(image, spec),
        "capabilities": {
            "bounding": list(CAPABILITIES),
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [
            {
                "type": "RLIMIT_NOFILE",
                "soft": placement.open_files,
                "hard": placement.open_files,
            }
        ],
        "noNewPrivileges": placement.is_wasm,
    }


def working_directory(image: ImageConfig, spec: ContainerSpec) -> str:
    """Tell where the process starts."""
    return spec.workdir or image.working_dir or "/"


def _mounts(placement: Placement) -> list[dict[str, object]]:
    quiet = ["nosuid", "noexec", "nodev"]
    system = [
        _mount("/proc", "proc", "proc", quiet),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/dev/shm", "tmpfs", "shm", [*quiet, "mode=1777", "size=65536k"]),
        _mount("/dev/mqueue", "mqueue", "mqueue", quiet),
        _mount("/sys", "sysfs", "sysfs", [*quiet, "ro"]),
    ]
    if not placement.is_wasm:
        system.append(_mount("/sys/fs/cgroup", "cgroup", "cgroup", [*quiet, "relatime", "ro"]))
    # A mount on a folder comes before the mounts inside it.
    asked = sorted(placement.mounts, key=lambda mount: mount.target.count("/"))
    return [*system, *(_asked(mount) for mount in asked)]


def _asked(mount: BindMount | TmpfsMount) -> dict[str, object]:
    rights = "ro" if mount.read_only else "rw"
    match mount:
        case BindMount():
            return _mount(mount.target, "bind", mount.source, ["rbind", rights, "rprivate"])
        case TmpfsMount():
            options = ["nosuid", "nodev", "noexec", rights, *mount.options]
            return _mount(mount.target, "tmpfs", "tmpfs", options)


def _mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, object]:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _linux(spec: ContainerSpec, placement: Placement) -> dict[str, object]:
    namespaces = [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")]
    if placement.network:
        namespaces.append({"type": "network", "path": placement.network})
    elif placement.network is not None:
        namespaces.append({"type": "network"})
    return {
        "namespaces": namespaces,
        "cgroupsPath": placement.cgroup,
        "resources": _resources(spec.limits, placement),
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READONLY_PATHS),
        "seccomp": placement.seccomp,
    }


def _resources(limits: Limits, placement: Placement) -> dict[str, object]:
    devices: list[object] = [{"allow": False, "access": "rwm"}]
    for major, minor in DEVICES:
        rule: dict[str, object] = {"allow": True, "type": "c", "access": "rwm", "major": major}
        devices.append(rule if minor < 0 else {**rule, "minor": minor})
    found: dict[str, object] = {"devices": devices}
    if limits.memory is not None:
        # As Docker: as much swap as memory, so that the limit is one even where there is swap.
        swap = {"swap": 2 * limits.memory} if placement.counts_swap else {}
        found["memory"] = {"limit": limits.memory, **swap}
    if limits.cpus is not None:
        found["cpu"] = {"quota": int(limits.cpus * CPU_PERIOD), "period": CPU_PERIOD}
    if limits.pids is not None:
        found["pids"] = {"limit": limits.pids}
    return found
