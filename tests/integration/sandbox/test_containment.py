"""What a program finds in the sandbox: namespaces, root, devices, privileges, descriptors."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from wasmimg_testing.sandbox import (
    DOCKER_CAPABILITIES,
    Boxes,
    attempt,
    bits,
    status_field,
)

pytestmark = pytest.mark.root
KINDS = ("mnt", "pid", "ipc", "uts", "net", "cgroup")
SETS = ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")


def namespaces() -> list[str]:
    return [os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS]


def test_init_is_alone_in_namespaces_of_its_own(boxes: Boxes) -> None:
    def run() -> object:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
        interfaces = [name for _, name in socket.if_nameindex()]
        return namespaces(), os.getpid(), processes, interfaces, os.uname().nodename

    inside, pid, processes, interfaces, hostname = boxes.value(run)
    assert not set(inside) & set(namespaces())
    assert (pid, processes, interfaces, hostname) == (1, ["1"], ["lo"], "box")
    assert os.uname().nodename != "box"


def test_the_loopback_interface_is_up(boxes: Boxes) -> None:
    def run() -> object:
        with socket.socket() as server, socket.socket() as client:
            server.bind(("127.0.0.1", 0))
            server.listen()
            client.connect(server.getsockname())
        return True

    assert boxes.value(run) is True


def test_a_namespace_is_joined_by_its_path(boxes: Boxes) -> None:
    own = f"/proc/{os.getpid()}/ns"
    boxes.configuration["linux"]["namespaces"] = [
        {"type": "mount"},
        {"type": "pid", "path": f"{own}/pid"},
        {"type": "network", "path": f"{own}/net"},
        {"type": "ipc", "path": f"{own}/ipc"},
    ]
    del boxes.configuration["hostname"]
    inside = dict(zip(KINDS, boxes.value(namespaces), strict=True))
    here = dict(zip(KINDS, namespaces(), strict=True))
    assert {kind for kind in KINDS if inside[kind] != here[kind]} == {"mnt"}


def test_the_shim_keeps_its_own_pid_namespace(boxes: Boxes) -> None:
    here = os.readlink("/proc/self/ns/pid_for_children")
    boxes.value(namespaces)
    assert os.readlink("/proc/self/ns/pid_for_children") == here


def test_the_root_is_the_bundles_and_the_hosts_is_gone(boxes: Boxes) -> None:
    (boxes.rootfs / "app.wasm").write_bytes(b"\0asm")
    host = str(boxes.folder)

    def run() -> object:
        with open("/proc/self/mountinfo") as text:
            roots = [line.split()[4] for line in text]
        return os.listdir("/"), os.path.exists(host), os.getcwd(), roots

    entries, host_seen, cwd, roots = boxes.value(run)
    assert sorted(entries) == ["app.wasm", "dev", "proc", "sys"]
    assert (host_seen, cwd) == (False, "/")
    assert roots.count("/") == 1


def test_devices_are_those_that_every_container_has(boxes: Boxes) -> None:
    boxes.configuration["linux"]["devices"] = [
        {"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "gid": 7}
    ]

    def run() -> object:
        found = {}
        for name in os.listdir("/dev"):
            there = os.lstat(f"/dev/{name}")
            if stat.S_ISCHR(there.st_mode):
                number = [os.major(there.st_rdev), os.minor(there.st_rdev)]
                found[name] = [*number, stat.S_IMODE(there.st_mode), there.st_gid]
        links = {
            n: os.readlink(f"/dev/{n}") for n in os.listdir("/dev") if os.path.islink(f"/dev/{n}")
        }
        return found, links

    devices, links = boxes.value(run)
    assert devices == {
        "null": [1, 3, 0o666, 0],
        "zero": [1, 5, 0o666, 0],
        "full": [1, 7, 0o666, 0],
        "random": [1, 8, 0o666, 0],
        "urandom": [1, 9, 0o666, 0],
        "tty": [5, 0, 0o666, 0],
        "own": [1, 3, 0o640, 7],
    }
    assert links == {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
        "ptmx": "pts/ptmx",
    }


def test_masked_paths_are_empty_and_readonly_ones_refuse(boxes: Boxes) -> None:
    def run() -> object:
        with open("/proc/keys") as keys, open("/proc/timer_list") as timers:
            masked = keys.read() + timers.read()
        refused = [
            attempt(lambda path=path: os.close(os.open(path, os.O_WRONLY)))
            for path in ("/proc/sys/kernel/hostname", "/proc/irq/default_smp_affinity")
        ]
        return (
            masked,
            os.listdir("/sys/firmware"),
            refused,
            attempt(lambda: os.mkdir("/sys/firmware/x")),
        )

    assert boxes.value(run) == ["", [], ["EROFS", "EROFS"], "EROFS"]


def test_a_readonly_root_refuses_writes_but_volumes_take_them(boxes: Boxes) -> None:
    boxes.configuration["root"]["readonly"] = True
    writable, fixed = boxes.folder / "writable", boxes.folder / "fixed"
    for folder, option in ((writable, "rw"), (fixed, "ro")):
        folder.mkdir()
        boxes.configuration["mounts"].append({
            "destination": f"/mnt/{folder.name}",
            "source": str(folder),
            "options": ["rbind", "rprivate", option],
        })  # fmt: skip

    def run() -> object:
        return [
            attempt(lambda path=path: os.mkdir(f"{path}/made"))
            for path in ("", "/mnt/writable", "/mnt/fixed", "/dev/shm")
        ]

    assert boxes.value(run) == ["EROFS", "done", "EROFS", "done"]
    assert (writable / "made").is_dir()


def test_a_file_is_mounted_over_a_link_that_leads_nowhere_yet(boxes: Boxes) -> None:
    (boxes.rootfs / "etc").mkdir()
    (boxes.rootfs / "etc/resolv.conf").symlink_to("../run/resolve/stub.conf")
    source = boxes.folder / "resolv.conf"
    source.write_text("nameserver 127.0.0.11\n")
    boxes.configuration["mounts"].append(
        {"destination": "/etc/resolv.conf", "source": str(source), "options": ["bind", "ro"]}
    )

    def run() -> object:
        with open("/etc/resolv.conf") as text:
            return text.read()

    assert boxes.value(run) == "nameserver 127.0.0.11\n"
    assert (boxes.rootfs / "run/resolve/stub.conf").read_text() == ""


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("seccomp", [None, {"defaultAction": "SCMP_ACT_ALLOW"}])
def test_privileges_are_exactly_those_given(
    boxes: Boxes, no_new_privileges: bool, uid: int, seccomp: object
) -> None:
    process = boxes.configuration["process"]
    process["noNewPrivileges"] = no_new_privileges
    process["user"] = {"uid": uid, "gid": 5, "umask": 0o027, "additionalGids": [7, 9]}
    process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    boxes.configuration["linux"]["seccomp"] = seccomp

    def run() -> object:
        sets = [sorted(bits(status_field(name))) for name in SETS]
        ids = [status_field("Uid").split(), status_field("Gid").split(), os.getgroups()]
        return sets, ids, status_field("NoNewPrivs"), os.umask(0), status_field("Seccomp")

    sets, ids, no_new, mask, filtered = boxes.value(run)
    assert sets == [
        ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        ["CAP_KILL"] if uid else ["CAP_CHOWN", "CAP_KILL"],
        ["CAP_KILL"],
        ["CAP_KILL"],
        ["CAP_KILL"],
    ]
    assert ids == [[str(uid)] * 4, ["5"] * 4, [7, 9]]
    assert (no_new, mask) == (str(int(no_new_privileges)), 0o027)
    assert filtered == ("0" if seccomp is None else "2")


def test_no_capabilities_given_means_none(boxes: Boxes) -> None:
    del boxes.configuration["process"]["capabilities"]
    assert boxes.value(lambda: [bits(status_field(name)) == set() for name in SETS]) == [True] * 5


def test_dockers_capabilities_are_all_there(boxes: Boxes) -> None:
    assert set(boxes.value(lambda: sorted(bits(status_field("CapEff"))))) == set(
        DOCKER_CAPABILITIES
    )


def test_no_descriptor_of_the_shim_is_left(boxes: Boxes) -> None:
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        # the listing's own descriptor is the fourth
        assert boxes.value(lambda: sorted(os.listdir("/proc/self/fd"))) == ["0", "1", "2", "3"]
    finally:
        os.close(secret)


def test_signals_wait_for_the_program(boxes: Boxes) -> None:
    def run() -> object:
        os.kill(1, signal.SIGTERM)
        return signal.sigwait({signal.SIGTERM})

    previous = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the shim's handler ran"))
    try:
        assert boxes.value(run) == signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_nothing_can_be_imported_from_the_image(boxes: Boxes) -> None:
    prefix = Path(sys.prefix).resolve()
    for folder in (Path(os.__file__).parent, prefix / "lib/python3/site-packages"):
        hostile = boxes.rootfs / str(folder).lstrip("/") / "encodings"
        hostile.mkdir(parents=True)
        (hostile / "idna.py").write_text("import os; os.write(1, b'owned')")
        (hostile / "punycode.py").write_text("import os; os.write(1, b'owned')")
    assert "encodings.punycode" not in sys.modules

    def run() -> object:
        try:
            "bücher".encode("punycode")
        except LookupError:
            return "refused"
        return "imported"

    assert boxes.value(run) == "refused"


def test_rlimits_are_set(boxes: Boxes) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    boxes.configuration["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 64, "hard": hard - 1},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    assert boxes.value(
        lambda: [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]
    ) == [[64, hard - 1], [0, 0]]


def test_sysctls_are_the_containers_own(boxes: Boxes) -> None:
    boxes.configuration["linux"]["sysctl"] = {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "kernel.shmmni": "77",
    }
    before = Path("/proc/sys/kernel/shmmni").read_text()

    def run() -> object:
        with (
            open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as a,
            open("/proc/sys/kernel/shmmni") as b,
        ):
            return a.read().strip(), b.read().strip()

    assert boxes.value(run) == ["0", "77"]
    assert Path("/proc/sys/kernel/shmmni").read_text() == before


def test_the_oom_score_is_set_where_it_may_be(boxes: Boxes) -> None:
    boxes.configuration["process"]["oomScoreAdj"] = 500

    def run() -> object:
        with open("/proc/self/oom_score_adj") as text:
            return int(text.read())

    assert boxes.value(run) == 500


def test_the_working_folder_is_made_and_entered(boxes: Boxes) -> None:
    boxes.configuration["process"]["cwd"] = "/srv/data"
    assert boxes.value(os.getcwd) == "/srv/data"
    assert (boxes.rootfs / "srv/data").is_dir()


def test_keyrings_are_not_the_shims(boxes: Boxes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)
    here = libc.syscall(250, 0, -3, 0)
    assert boxes.value(lambda: libc.syscall(250, 0, -3, 0)) != here


def test_a_terminal_becomes_the_controlling_one(boxes: Boxes) -> None:
    boxes.configuration["process"]["terminal"] = True
    primary, secondary = os.openpty()
    terminal = os.fstat(secondary).st_rdev
    program = _Terminal()
    child = boxes.confirmed(program, stdio=(secondary, secondary, secondary))
    os.close(secondary)
    child.start()
    said = os.read(primary, 100).decode().split()
    os.close(primary)
    assert said == [str(terminal), "True"]


class _Terminal:
    def load(self) -> None:
        return

    def run(self) -> int:
        with open("/proc/self/stat") as text:
            device = text.read().rpartition(")")[2].split()[4]
        os.write(1, f"{device} {os.tcgetpgrp(0) == 1}".encode())
        return 0


@pytest.mark.parametrize(("word", "shared"), [("", False), ("rprivate", False), ("shared", True)])
def test_the_roots_propagation(boxes: Boxes, word: str, shared: bool) -> None:
    boxes.configuration["linux"]["rootfsPropagation"] = word

    def run() -> object:
        with open("/proc/self/mountinfo") as text:
            (root,) = [line for line in text if line.split()[4] == "/"]
        return "shared:" in root

    assert boxes.value(run) is shared
