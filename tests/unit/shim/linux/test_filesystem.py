"""The plan of a container's file system, and what its operations ask of the kernel."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.linux import filesystem, libc
from wasmimg_shim.linux.mount_options import Attributes
from wasmimg_shim.linux.mounts import (
    Bind,
    CgroupTree,
    Filesystem,
    Mask,
    MountCalls,
    Operation,
    ReadOnly,
    Seal,
)
from wasmimg_shim.linux.nodes import Directory, Link, Node
from wasmimg_shim.linux.root import Root
from wasmimg_shim.spec import Device, Linux, Mount, Process, Spec
from wasmimg_testing.descriptors import descriptors

READ_ONLY = Attributes(libc.MOUNT_ATTR_RDONLY)


class Recorder:
    """The twin of the kernel: notes what is asked, with places as paths in the root."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.calls: list[tuple[Any, ...]] = []
        self.procfs: set[str] = set()
        self.fails: dict[str, OSError] = {}

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self.fails:
            raise self.fails[call[0]]

    def _place(self, fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}").removeprefix(self.root) or "/"

    def clone(self, source: str, *, recursive: bool) -> int:
        self._note("clone", source, recursive)
        return os.open(source, os.O_PATH)

    def clone_at(self, place: int) -> int:
        self._note("clone_at", self._place(place))
        return os.dup(place)

    def filesystem(self, kind: str, options: tuple[tuple[str, str | None], ...]) -> int:
        self._note("filesystem", kind, options)
        return os.open("/", os.O_PATH)

    def change(self, mount: int, attributes: Attributes, *, recursive: bool) -> None:
        self._note("change", attributes, recursive)

    def attach(self, mount: int, place: int, path: str) -> None:
        self._note("attach", self._place(place))

    def mount(self, kind: str, source: str, place: int, data: str) -> None:
        self._note("mount", kind, source, self._place(place), data)

    def make_node(self, directory: int, name: str, mode: int, device: int) -> None:
        self._note("node", f"{self._place(directory)}/{name}", mode, device)

    def in_procfs(self, place: int) -> bool:
        return self._place(place) in self.procfs


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    (tmp_path / "root").mkdir()
    return Recorder(tmp_path / "root")


@pytest.fixture
def root(recorder: Recorder) -> Iterator[Root]:
    before = descriptors()
    fd = os.open(recorder.root, os.O_PATH | os.O_DIRECTORY)
    yield Root(fd)
    os.close(fd)
    assert descriptors() <= before


def test_the_twin_is_a_kernel(recorder: Recorder) -> None:
    calls: MountCalls = recorder
    assert calls is recorder


def plan(*mounts: Mount, **linux: Any) -> tuple[Operation, ...]:
    spec = Spec("1.2.0", "rootfs", mounts=mounts, linux=Linux(**linux), process=Process(cwd="/w"))
    return filesystem.plan(spec, "/bundle", (("memory", "/sys/fs/cgroup/memory/box"),))


def test_the_order_is_mounts_devices_folder_then_what_closes() -> None:
    spec = Spec(
        "1.2.0",
        "rootfs",
        root_readonly=True,
        mounts=(
            Mount("/proc", "proc", "proc"),
            Mount("/dev", "tmpfs", "tmpfs", ("ro", "mode=755")),
        ),
        linux=Linux(masked_paths=("/proc/keys",), readonly_paths=("/proc/sys",)),
        process=Process(cwd="/srv"),
    )
    operations = filesystem.plan(spec, "/bundle", ())
    kinds = [type(operation) for operation in operations]
    order = [Filesystem, Node, Link, Directory, Seal, ReadOnly, Mask]
    assert [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]] == order
    assert operations[1] == Filesystem("tmpfs", "tmpfs", "/dev", data=(("mode", "755"),))
    assert Seal("/dev", READ_ONLY) in operations
    assert operations[-1] == Seal("/")


@pytest.mark.parametrize(
    ("mount", "operation"),
    [
        (
            Mount("/data", "", "/srv", ("rbind", "ro", "rprivate")),
            Bind("/srv", "/data", True, READ_ONLY, Attributes(propagation=libc.MS_PRIVATE)),
        ),
        (Mount("/data", "bind", "vol"), Bind("/bundle/vol", "/data")),
        (Mount("/../x/../data", "bind", "/srv"), Bind("/srv", "/data")),
        (Mount("//data//", "tmpfs", "tmpfs"), Filesystem("tmpfs", "tmpfs", "/data")),
        (
            Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",)),
            CgroupTree("/sys/fs/cgroup", (("memory", "/sys/fs/cgroup/memory/box"),), READ_ONLY),
        ),
    ],
)
def test_mounts(mount: Mount, operation: Operation) -> None:
    assert plan(mount)[0] == operation


def test_the_cgroup_of_version_2_is_one_folder() -> None:
    spec = Spec("1.2.0", "r", mounts=(Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",)),))
    operations = filesystem.plan(spec, "/b", (("", "/sys/fs/cgroup/box"),))
    assert operations[0] == Bind("/sys/fs/cgroup/box", "/sys/fs/cgroup", top=READ_ONLY)


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount("/", "tmpfs"), "the root itself"),
        (Mount("/a/..", "tmpfs"), "the root itself"),
        (Mount("/a", "bind"), "needs a source"),
        (Mount("/a"), "neither a type nor"),
        (Mount("/a", "bind", "/b", ("idmap",)), "mount on /a: mount option 'idmap'"),
    ],
)
def test_mounts_that_can_not_be(mount: Mount, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan(mount)


def test_given_devices_take_the_place_of_the_default_ones() -> None:
    null = Device("/dev/null", "c", 1, 3, 0o600, 5, 6)
    nodes = [o for o in plan(devices=(null,)) if isinstance(o, Node)]
    assert [node.path for node in nodes].count("/dev/null") == 1
    assert Node("/dev/null", stat.S_IFCHR | 0o600, os.makedev(1, 3), 5, 6) in nodes


def test_a_device_of_no_known_kind() -> None:
    with pytest.raises(InvalidInput, match="unknown type 'q'"):
        plan(devices=(Device("/dev/q", "q"),))


@pytest.mark.parametrize(
    ("word", "flags"),
    [("", 0), ("rslave", libc.MS_SLAVE | libc.MS_REC), ("private", libc.MS_PRIVATE)],
)
def test_propagation_of_the_root(word: str, flags: int) -> None:
    assert filesystem.propagation(word) == flags


def test_unknown_propagation() -> None:
    with pytest.raises(InvalidInput, match="rootfsPropagation"):
        filesystem.propagation("reverse")


def test_a_bind_is_attached_with_its_attributes_already_set(
    root: Root, recorder: Recorder, tmp_path: Path
) -> None:
    below = Attributes(propagation=libc.MS_PRIVATE)
    Bind(str(tmp_path), "/data/in", True, READ_ONLY, below).execute(root, recorder)
    assert recorder.calls == [
        ("clone", str(tmp_path), True),
        ("change", READ_ONLY, False),
        ("change", below, True),
        ("attach", "/data/in"),
    ]


def test_a_files_target_is_a_file(root: Root, recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("x")
    Bind(str(tmp_path / "hosts"), "/etc/hosts").execute(root, recorder)
    assert Path(recorder.root, "etc/hosts").read_text() == ""


def test_a_file_system_gets_source_and_options(root: Root, recorder: Recorder) -> None:
    data = (("mode", "755"), ("newinstance", None))
    Filesystem("devpts", "devpts", "/dev/pts", READ_ONLY, data=data).execute(root, recorder)
    assert recorder.calls == [
        ("filesystem", "devpts", (("source", "devpts"), *data)),
        ("change", READ_ONLY, False),
        ("attach", "/dev/pts"),
    ]


LAYERS = [f"/var/lib/{'x' * 90}/{n}\\:{n}" for n in range(4)]
OVERLAY = (("lowerdir", ":".join(LAYERS)), ("upperdir", "/u"), ("workdir", "/w"))


def test_long_layers_are_given_one_by_one(root: Root, recorder: Recorder) -> None:
    Filesystem("overlay", "overlay", "/", data=OVERLAY).execute(root, recorder)
    singles = tuple(("lowerdir+", layer.replace("\\", "")) for layer in LAYERS)
    assert recorder.calls[0] == (
        "filesystem", "overlay", (("source", "overlay"), *singles, *OVERLAY[1:])
    )  # fmt: skip


def test_an_older_kernel_gets_long_layers_the_classic_way(root: Root, recorder: Recorder) -> None:
    recorder.fails["filesystem"] = OSError(22, "Invalid argument")
    Filesystem("overlay", "overlay", "/m", READ_ONLY, data=OVERLAY).execute(root, recorder)
    words = ",".join(f"{key}={value}" for key, value in OVERLAY)
    assert recorder.calls[1:] == [
        ("mount", "overlay", "overlay", "/m", words),
        ("change", READ_ONLY, False),
    ]


def test_options_that_no_call_takes_are_refused_not_cut(root: Root, recorder: Recorder) -> None:
    data = (("lowerdir", "/a"), ("upperdir", "/" + "u" * 5000))
    with pytest.raises(OSError, match="this kernel takes 4095"):
        Filesystem("overlay", "overlay", "/m", data=data).execute(root, recorder)
    assert recorder.calls == []


def test_a_mount_does_not_land_in_procfs(root: Root, recorder: Recorder, tmp_path: Path) -> None:
    recorder.procfs = {"/etc/x"}
    with pytest.raises(OSError, match="leads into /proc"):
        Bind(str(tmp_path), "/etc/x").execute(root, recorder)
    assert ("attach", "/etc/x") not in recorder.calls


def test_a_mount_below_proc_that_was_asked_for(
    root: Root, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.procfs = {"/proc/acpi"}
    Bind(str(tmp_path), "/proc/acpi").execute(root, recorder)
    assert recorder.calls[-1] == ("attach", "/proc/acpi")


def test_masks_hide_files_and_folders_and_pass_by_what_is_missing(
    root: Root, recorder: Recorder
) -> None:
    Path(recorder.root, "file").write_text("")
    Path(recorder.root, "folder").mkdir()
    for path in ("/file", "/folder", "/missing", "/file/below"):
        Mask(path).execute(root, recorder)
    assert recorder.calls == [
        ("clone", "/dev/null", False),
        ("attach", "/file"),
        ("filesystem", "tmpfs", (("nr_inodes", "1"), ("mode", "755"))),
        ("change", READ_ONLY, False),
        ("attach", "/folder"),
    ]


def test_read_only_paths_are_covered_by_themselves(root: Root, recorder: Recorder) -> None:
    Path(recorder.root, "folder").mkdir()
    for path in ("/folder", "/missing"):
        ReadOnly(path).execute(root, recorder)
    assert recorder.calls == [
        ("clone_at", "/folder"),
        ("change", READ_ONLY, True),
        ("attach", "/folder"),
    ]


def test_a_cgroup_tree_has_a_folder_a_hierarchy(
    root: Root, recorder: Recorder, tmp_path: Path
) -> None:
    hierarchies = (("cpu,cpuacct", str(tmp_path)), ("pids", str(tmp_path)))
    CgroupTree("/cg", hierarchies, READ_ONLY).execute(root, recorder)
    attached = [call[1] for call in recorder.calls if call[0] == "attach"]
    assert attached == ["/cg", "/cg/cpu,cpuacct", "/cg/pids"]
    assert os.readlink(f"{recorder.root}/cg/cpuacct") == "cpu,cpuacct"
    assert recorder.calls[-1] == ("change", READ_ONLY, False)


def test_a_device_that_is_there_already(root: Root, recorder: Recorder) -> None:
    recorder.fails["node"] = FileExistsError(17, "File exists")
    Path(recorder.root, "dev").mkdir()
    Path(recorder.root, "dev/null").write_text("")
    with pytest.raises(FileExistsError, match="something else in the place of a device"):
        Node("/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3)).execute(root, recorder)


def test_a_link_that_is_there_already_stays(root: Root, recorder: Recorder) -> None:
    for target in ("one", "two"):
        Link("/dev/fd", target).execute(root, recorder)
    assert os.readlink(f"{recorder.root}/dev/fd") == "one"


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Bind("/a", "/b", top=READ_ONLY), "bind /a on /b, read-only"),
        (Bind("/a", "/b"), "bind /a on /b, read-write"),
        (
            Filesystem("tmpfs", "x", "/t", data=(("mode", "1"), ("y", None))),
            "mount tmpfs on /t (mode=1,y)",
        ),
        (CgroupTree("/c", (("pids", "/p"),)), "show the cgroups pids on /c"),
        (Mask("/m"), "hide /m"),
        (ReadOnly("/r"), "make /r read-only"),
        (Seal("/"), "seal /"),
        (Directory("/w"), "make folder /w unless it is there"),
        (Link("/l", "t"), "link /l to t"),
        (Node("/n", stat.S_IFCHR, os.makedev(1, 3)), "make character device /n 1:3"),
        (Node("/n", stat.S_IFBLK, os.makedev(8, 0)), "make block device /n 8:0"),
        (Node("/n", stat.S_IFIFO, 0), "make FIFO /n"),
    ],
)
def test_operations_say_what_they_do(operation: Operation, words: str) -> None:
    assert operation.describe() == words


DEV = Mount("/dev", "tmpfs", "tmpfs")


def test_devices_are_made_before_what_may_cover_dev() -> None:
    # /x may be the image's link to /dev: what was made after it would be made on the host.
    operations = plan(Mount("/proc", "proc", "proc"), DEV, Mount("/x", "bind", "/srv"))
    kinds = [type(operation) for operation in operations]
    last = max(place for place, kind in enumerate(kinds) if kind in {Node, Link})
    assert kinds[:3] == [Filesystem, Filesystem, Node]
    assert last < kinds.index(Bind)


@pytest.mark.parametrize(
    "mounts",
    [
        (Mount("/dev", "bind", "/srv"),),
        (DEV, Mount("/dev/", "", "/srv", ("rbind",))),
        (Mount("//dev/.", "bind", "/srv"), DEV),
    ],
)
def test_nothing_is_made_in_a_folder_of_the_host(mounts: tuple[Mount, ...]) -> None:
    fuse = Device("/dev/fuse", "c", 10, 229)
    made = [each for each in plan(*mounts, devices=(fuse,)) if isinstance(each, Node | Link)]
    assert made == []


def test_devices_elsewhere_come_after_the_mounts() -> None:
    device = Device("/data/null", "c", 1, 3)
    operations = plan(DEV, Mount("/data", "tmpfs", "tmpfs"), devices=(device,))
    made = [each for each in operations if isinstance(each, Node | Filesystem)]
    assert made[-2:] == [
        Filesystem("tmpfs", "tmpfs", "/data"),
        Node("/data/null", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    ]
