"""A host that refuses: a full disk, a port in use, a name that nobody knows; and images that want out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.layout import Store
from wasmimg_images.spec import Platform
from wasmimg_testing.images import add_image, busybox_files, layer
from wasmimg_testing.samples import content
from wasmimg_testing.shims import guest

if TYPE_CHECKING:
    from wasmimg_testing.commandline import CommandLine

pytestmark = [pytest.mark.root, pytest.mark.network]
WASI, LINUX = Platform("wasi", "wasm"), Platform("linux", "amd64")
FULL = "No space left on device"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of two MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file() and path.stat().st_size}


def test_a_full_home(wasmimg: CommandLine, small: Path, tmp_path: Path) -> None:
    module = bytes(guest("hello")) + b"\x00\x80\x80\x80\x02" + b"\x01x" + content((4 << 20) - 2)
    (tmp_path / "large.wasm").write_bytes(module)
    full = {"WASMIMG_HOME": str(small)}
    wasmimg("build", tmp_path / "large.wasm", "-t", "large", env=full).says(7, FULL)
    wasmimg("import", "/usr/lib/python3", "-t", "large", env=full).says(7, FULL)
    assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) < 100_000
    (tmp_path / "app.wasm").write_bytes(guest("hello"))
    wasmimg("build", tmp_path / "app.wasm", "-t", "app", env=full).well()
    assert wasmimg("run", "--rm", "app", env=full).well() == "hello"


def test_a_full_cache(wasmimg: CommandLine, small: Path) -> None:
    (small / "filler").write_bytes(bytes(2 << 20))
    full = {"WASMIMG_CACHE": str(small)}
    wasmimg("run", "--rm", "hello", env=full).says(125, FULL)
    (small / "filler").unlink()
    assert wasmimg("run", "--rm", "hello", env=full).well() == "hello"


def test_a_full_registry(wasmimg: CommandLine, small: Path) -> None:
    serving = wasmimg.start("registry-serve", small / "registry")
    assert serving.stderr is not None
    serving.stderr.readline()
    name = "127.0.0.1:5000/large"
    config = {"Entrypoint": ["/app.wasm"]}
    large = layer({"app.wasm": bytes(guest("hello")), "large": content(4 << 20)})
    add_image(Store(wasmimg.home.store), name, [large], config, WASI)
    wasmimg("push", name).says(5, "127.0.0.1:5000")
    assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) < 100_000
    wasmimg("tag", "hello", "127.0.0.1:5000/hello").well()
    wasmimg("push", "127.0.0.1:5000/hello").well()
    serving.terminate()
    serving.communicate()


def test_ports(wasmimg: CommandLine, tmp_path: Path) -> None:
    wasmimg("run", "-d", "--name", "it", "-p", "8080:80", "sleep").well()
    wasmimg("run", "-d", "-p", "8080:80", "sleep").says(7, "8080", "it")
    wasmimg("registry-serve", tmp_path, "--port", "8080").says(7, "8080")
    (tmp_path / "compose.yaml").write_text("services: {web: {image: sleep, ports: ['8080:80']}}\n")
    wasmimg("compose", "up", "-d", cwd=tmp_path).says(7, "8080", "it")
    wasmimg("compose", "down", cwd=tmp_path).well()
    assert len(wasmimg("ps", "-aq").well().split()) == 1
    wasmimg("rm", "-f", "it").well()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-p", "99999:1", "hello"),
        ("run", "-p", "nonsense", "hello"),
        ("run", "--memory", "lots", "hello"),
        ("run", "--name", "../up", "hello"),
        ("run", "-v", "relative:name:what", "hello"),
        ("run", "--runtime", "nonsense", "hello"),
        ("run", "--stop-signal", "SIGNONE", "hello"),
        ("run", "two words"),
        ("rm", "-f", ""),
    ],
)
def test_options(wasmimg: CommandLine, words: tuple[str, ...]) -> None:
    done = wasmimg(*words)
    done.says(4 if words[0] == "rm" else 3)


HOSTILE: dict[str, bytes | str] = {
    "encodings/": b"",
    "encodings/__init__.py": b"open('/evil', 'w')",
    "encodings/idna.py": b"open('/evil', 'w')",
    "usr/lib/python3.11/encodings/idna.py": b"open('/evil', 'w')",
    "etc/nsswitch.conf": b"hosts: evil\npasswd: evil\n",
    "lib/x86_64-linux-gnu/libnss_evil.so.2": b"\x7fELF",
    "lib/x86_64-linux-gnu/libnss_dns.so.2": b"\x7fELF",
    "etc/ld.so.preload": b"/evil.so\n",
    "sitecustomize.py": b"open('/evil', 'w')",
    "app.wasm": bytes(guest("hello")),
}


def test_nothing_of_an_image_is_executed(wasmimg: CommandLine) -> None:
    config = {"Entrypoint": ["/app.wasm"], "Env": ["PYTHONPATH=/", "LD_PRELOAD=/evil.so"]}
    add_image(Store(wasmimg.home.store), "hostile", [layer(HOSTILE)], config, WASI)
    wasmimg("run", "--name", "it", "hostile").well()
    found = list((wasmimg.home.containers).glob("*/upper/evil"))
    wasmimg("rm", "it").well()
    assert not found


def test_links_of_an_image_stay_in_it(wasmimg: CommandLine) -> None:
    outside = Path("/etc/hostname").read_text()
    tree = {
        **busybox_files(),
        "etc/resolv.conf": "/../../../../etc/hostname",
        "etc/hosts": "../../../../../../etc/hostname",
        "data": "/../../../../tmp",
    }
    add_image(Store(wasmimg.home.store), "links", [layer(tree)], {}, LINUX)
    shown = wasmimg("run", "--rm", "links", "cat", "/etc/hosts").well()
    assert shown != outside.strip()
    assert Path("/etc/hostname").read_text() == outside
    wasmimg("run", "--rm", "links", "touch", "/data/from-the-image")
    assert not Path("/tmp/from-the-image").exists()
