"""Images that try to lead the sandbox out of their root: refused, or kept inside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import RunError

if TYPE_CHECKING:
    from wasmimg_testing.sandbox import Boxes

pytestmark = pytest.mark.root


@pytest.fixture
def outside(boxes: Boxes) -> Path:
    folder = boxes.folder / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


def bind(boxes: Boxes, source: Path, destination: str) -> None:
    boxes.configuration["mounts"].append(
        {"destination": destination, "source": str(source), "options": ["rbind", "rw"]}
    )


def test_a_link_to_the_host_means_the_images_own_folder(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "data").symlink_to(outside)
    volume = boxes.folder / "volume"
    volume.mkdir()
    (volume / "mine").write_text("")
    bind(boxes, volume, "/data")
    assert boxes.value(lambda: os.listdir("/data")) == ["mine"]
    assert os.listdir(outside) == ["secret"]
    assert (boxes.rootfs / str(outside).lstrip("/")).is_dir()


@pytest.mark.parametrize(
    "destination", ["/../../etc/volume", "../../etc/volume", "/etc/../etc/volume"]
)
def test_dots_do_not_climb(boxes: Boxes, outside: Path, destination: str) -> None:
    bind(boxes, outside, destination)
    assert boxes.value(lambda: os.listdir("/etc/volume")) == ["secret"]
    assert not Path("/etc/volume").exists()


def test_a_link_with_dots_does_not_climb(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "up").symlink_to("../../../../../../..")
    bind(boxes, outside, "/up/climbed")
    assert boxes.value(lambda: os.listdir("/climbed")) == ["secret"]


@pytest.mark.parametrize(("link", "target"), [("x", "/dev"), ("dev", "x")])
def test_no_device_gets_into_a_folder_of_the_host(
    boxes: Boxes, outside: Path, link: str, target: str
) -> None:
    if (boxes.rootfs / link).is_dir():
        (boxes.rootfs / link).rmdir()
    (boxes.rootfs / link).symlink_to(target)
    bind(boxes, outside, "/x")
    boxes.value(lambda: os.listdir("/x"))
    assert os.listdir(outside) == ["secret"]


def test_a_dev_of_the_host_is_left_as_it_is(boxes: Boxes, outside: Path) -> None:
    mounts = boxes.configuration["mounts"]
    mounts[:] = [each for each in mounts if not each["destination"].startswith("/dev")]
    bind(boxes, outside, "/dev")
    assert boxes.value(lambda: os.listdir("/dev")) == ["secret"]
    assert os.listdir(outside) == ["secret"]


def test_links_in_a_circle_end(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "a").symlink_to("b")
    (boxes.rootfs / "b").symlink_to("a")
    bind(boxes, outside, "/a/volume")
    with pytest.raises(RunError, match=r"(?i)too many levels of symbolic links"):
        boxes.run(os.getcwd)


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_the_kernels_file_systems_need_real_folders(boxes: Boxes, name: str) -> None:
    (boxes.rootfs / "etc").mkdir()
    (boxes.rootfs / name).symlink_to("etc")
    with pytest.raises(RunError, match="must be mounted on a directory, and this is a link"):
        boxes.run(os.getcwd)


def test_dev_as_a_link_stays_inside(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "dev").symlink_to(outside)
    inner = str(outside)
    assert "null" in boxes.value(lambda: os.listdir(inner))
    assert os.listdir(outside) == ["secret"]


def test_a_volume_can_not_cover_procfs_through_a_link(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "etc").symlink_to("/proc/1")
    bind(boxes, outside / "secret", "/etc/environ")
    with pytest.raises(RunError, match=r"/etc/environ: the mount's target leads into /proc"):
        boxes.run(os.getcwd)


def test_a_magic_link_is_not_followed(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "host").symlink_to("/proc/self/cwd")
    bind(boxes, outside, "/host/volume")
    with pytest.raises(RunError):
        boxes.run(os.getcwd)
    assert not Path("volume").exists()


def test_a_file_in_a_devices_place_is_refused(boxes: Boxes) -> None:
    mounts = boxes.configuration["mounts"]
    boxes.configuration["mounts"] = [m for m in mounts if not m["destination"].startswith("/dev")]
    (boxes.rootfs / "dev").mkdir()
    (boxes.rootfs / "dev/null").write_text("everything that is thrown away")
    with pytest.raises(RunError, match="/dev/null: the image has something else"):
        boxes.run(os.getcwd)


def test_the_images_name_service_is_never_asked(boxes: Boxes) -> None:
    """What glibc would load for names is in the image; a user's name is not looked up there."""
    (boxes.rootfs / "etc").mkdir()
    (boxes.rootfs / "etc/nsswitch.conf").write_text("hosts: evil\npasswd: evil\n")
    folder = boxes.rootfs / "lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (folder / "libnss_evil.so.2").write_bytes(b"not even a library")

    def run() -> object:
        with open("/proc/self/maps") as text:
            return [line for line in text if "libnss_evil" in line], os.getuid()

    assert boxes.value(run) == [[], 0]


def test_a_working_folder_through_a_link_is_inside(boxes: Boxes, outside: Path) -> None:
    (boxes.rootfs / "work").symlink_to(outside)
    boxes.configuration["process"]["cwd"] = "/work"
    assert boxes.value(os.getcwd) == str(outside)
    assert boxes.value(lambda: os.listdir(".")) == []
