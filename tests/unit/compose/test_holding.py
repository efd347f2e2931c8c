"""Ports kept, sockets handed on, programs run, volumes filled, signals named."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from wasmimg_compose import command
from wasmimg_compose.container import Port
from wasmimg_compose.creation import signal_number
from wasmimg_compose.held import Held, Watch
from wasmimg_compose.reservation import reserve
from wasmimg_compose.rootfs import _escape
from wasmimg_compose.volumes import Volumes
from wasmimg_images.errors import HostError, InvalidInput


def test_a_free_port_is_found_and_kept() -> None:
    (kept,) = reserve([Port(80, 0, "127.0.0.1")])
    with kept.socket:
        assert kept.port == Port(80, kept.socket.getsockname()[1], "127.0.0.1")
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", kept.port.host_port))
        kept.listen()
        with pytest.raises(HostError, match=r"is in use by .* .pid"):
            reserve([kept.port])


def test_ports_are_kept_all_or_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        wanted = [
            Port(1, number, "127.0.0.1"),
            Port(1, number, "127.0.0.1", "udp"),
        ]
        with pytest.raises(HostError, match=f"port 127.0.0.1:{number}/udp is in use"):
            reserve(wanted)
        (kept,) = reserve(wanted[:1])
        kept.socket.close()


def test_an_address_of_another_host() -> None:
    with pytest.raises(HostError, match=r"this host has no address 198\.51\.100\.1"):
        reserve([Port(80, 0, "198.51.100.1")])


def test_sockets_are_handed_on() -> None:
    (kept,) = reserve([Port(80, 0, "127.0.0.1")])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, kept.socket, socket.socket() as other:
        Watch("abc", Held((kept.socket,), (other,))).send(ours)
        received = Watch.receive(theirs)
        assert received is not None
        assert received.container == "abc"
        assert [each.getsockname() for each in received.held.ports] == [kept.socket.getsockname()]
        assert len(received.held.names) == 1
        assert not received.held.ports[0].get_inheritable()
        received.held.close()
        ours.close()
        assert Watch.receive(theirs) is None


def test_a_program_is_run() -> None:
    assert command.run(("cat",), "given") == (0, "given")
    assert command.run(("sh", "-c", "echo no >&2; exit 3")) == (3, "no\n")
    with pytest.raises(HostError, match="surely-not-here is not installed"):
        command.run(("surely-not-here",))


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", int(signal.SIGRTMIN) + 3)],
)
def test_signals(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["", "0", "99", "SIGNOPE", "-1"])
def test_no_signals(name: str) -> None:
    with pytest.raises(InvalidInput, match="there is no signal"):
        signal_number(name)


def test_a_volume_is_filled_once(tmp_path: Path) -> None:
    rootfs, volumes = tmp_path / "rootfs", Volumes(tmp_path / "volumes")
    (rootfs / "data/deep").mkdir(parents=True)
    (rootfs / "data/file").write_text("image's")
    (rootfs / "data/file").chmod(0o640)
    (rootfs / "data/link").symlink_to("/nowhere")
    (rootfs / "data").chmod(0o711)
    assert volumes.ensure("v")
    assert not volumes.ensure("v")
    volumes.fill("v", rootfs, "/data")
    found = volumes.path("v")
    assert (found / "file").stat().st_mode & 0o777 == 0o640
    assert found.stat().st_mode & 0o777 == 0o711
    assert (found / "link").is_symlink()
    assert (found / "deep").is_dir()
    (found / "file").write_text("changed")
    volumes.fill("v", rootfs, "/data")
    assert (found / "file").read_text() == "changed"
    assert volumes.all() == ["v"]
    assert volumes.remove("v")
    assert not volumes.remove("v")


def test_a_volume_does_not_follow_links_out_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("host's")
    rootfs = tmp_path / "rootfs"
    rootfs.mkdir()
    (rootfs / "data").symlink_to("../secret")
    volumes = Volumes(tmp_path / "volumes")
    volumes.fill("v", rootfs, "/data")
    assert list(volumes.path("v").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x"])
def test_a_volume_has_a_safe_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name for a volume"):
        Volumes(tmp_path).ensure(name)
    assert not Volumes(tmp_path).remove(name)


def test_overlay_options_are_escaped() -> None:
    assert _escape(Path("/a:b,c\\d")) == "/a\\:b\\,c\\\\d"
