from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose.container import Mount, Port
from wasmimg_compose.mounts import parse_mount, parse_tmpfs
from wasmimg_compose.ports import parse_port
from wasmimg_compose.quantities import seconds, size
from wasmimg_images.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", (Port(80),)),
        ("8080:80", (Port(80, 8080),)),
        ("127.0.0.1:8080:80/udp", (Port(80, 8080, "127.0.0.1", "udp"),)),
        ("127.0.0.1::80", (Port(80, 0, "127.0.0.1"),)),
        ("[::1]:8080:80", (Port(80, 8080, "::1"),)),
        ("8000-8001:80-81", (Port(80, 8000), Port(81, 8001))),
    ],
)
def test_ports(text: str, ports: tuple[Port, ...]) -> None:
    assert parse_port(text) == ports


@pytest.mark.parametrize(
    "text", ["", "x", "0", "70000:80", "80/sctp", "1-2:80", "1:2:3:4", "[::1:80", "9-8:9-8"]
)
def test_malformed_ports(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_port(text)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/data", Mount("volume", "", "/data")),
        ("data:/var/lib/mysql", Mount("volume", "data", "/var/lib/mysql")),
        ("./client:/srv:ro", Mount("bind", "/base/client", "/srv", read_only=True)),
        ("../x/./y:/srv", Mount("bind", "/x/y", "/srv")),
        ("/abs:/srv:rw,z", Mount("bind", "/abs", "/srv")),
        ("v:/d:nocopy", Mount("volume", "v", "/d", options=("nocopy",))),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert parse_mount(text, Path("/base")) == mount


@pytest.mark.parametrize("text", ["", "rel", "a:b", "sp ace:/x", "/a:/b:wat", "/a:/b:ro:x"])
def test_malformed_mounts(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_mount(text, Path("/base"))


def test_tmpfs() -> None:
    assert parse_tmpfs("/run:size=64m,ro") == Mount(
        "tmpfs", "", "/run", read_only=True, options=("size=64m",)
    )
    with pytest.raises(InvalidInput):
        parse_tmpfs("run")


@pytest.mark.parametrize(
    ("text", "value"), [("1m30s", 90.0), ("500ms", 0.5), ("1.5h", 5400.0), ("10s", 10.0)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "10", "s", "1m x", "-1s"])
def test_malformed_durations(text: str) -> None:
    with pytest.raises(InvalidInput):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("1k", 1024), ("512m", 1 << 29), ("1.5gb", 3 << 29), ("2GiB", 2 << 30)],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@given(st.text())
def test_any_text_is_a_size_or_invalid(text: str) -> None:
    try:
        assert size(text) >= 0
    except InvalidInput as error:
        assert "is not a size" in error.message
