"""YAML that can't be: in wasmimg.yaml and in Compose files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wasmimg_testing.commandline import CommandLine

pytestmark = [pytest.mark.root, pytest.mark.network]
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
#: name -> (text, what `build` says of it, what `compose` says of it)
DOCUMENTS: dict[str, tuple[bytes, str, str]] = {
    "tab": (b"name: x\n\tsource: y\n", "2:1", "2:1"),
    "not-utf-8": (b"\xff\xfe\x00abc", "UTF-8", "UTF-8"),
    "list": (b"- a\n", "1:1", "1:1"),
    "scalar": (b"hello\n", "1:1", "1:1"),
    "twice": (b"name: x\nname: y\n", "2:1", "2:1"),
    "two-documents": (b"name: x\n---\nname: y\n", "2:1", "2:1"),
    "unknown-key": (b"nmae: x\n", "'nmae'", "nmae"),
    "wrong-type": (b"name: [1]\n", "1:7", "1:7"),
    "object": (b'name: !!python/object/apply:os.system ["false"]\n', "1:7", "1:7"),
    "unknown-anchor": (b"name: *nope\n", "'nope'", "'nope'"),
    "cycle": (b"name: &a\n  b: *a\n", "1:7", "contains itself"),
    "cycle-by-merge": (b"name: &a\n  <<: *a\n", "1:7", "contains itself"),
    "laughs": (LAUGHS.encode(), "'a'", "100000 values"),
    "deep": (b"name: " + b"[" * 5000, "nested too deeply", "nested too deeply"),
    "unclosed": (b'name: "x\n', "2:1", "2:1"),
    "control": (b"name: \x01\n", "wasmimg.yaml", "compose.yaml"),
}


@pytest.mark.parametrize(("text", "built", "composed"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents(
    wasmimg: CommandLine, tmp_path: Path, text: bytes, built: str, composed: str
) -> None:
    for name in ("wasmimg.yaml", "compose.yaml"):
        (tmp_path / name).write_bytes(text)
    wasmimg("build", tmp_path, "-t", "app").says(3, "wasmimg.yaml", built)
    refused = wasmimg("compose", "up", "-d", cwd=tmp_path)
    refused.says(3, "compose.yaml", composed)
    assert len(refused.err) < 500


SERVICE = "services:\n  web:\n    image: hello\n    "
VALUES = {
    "endless-number": f"scale: {'1' * 5000}",
    "superscript": 'scale: "²"',
    "negative": "scale: -1",
    "port": "ports: ['99999:80']",
    "port-range": "ports: ['9-1:80']",
    "port-text": "ports: ['web:80']",
    "address": "ports: ['300.1.1.1:80:80']",
    "variable": "environment: ['A=${B:?is needed}']",
    "open-variable": "environment: ['A=${B']",
    "memory": "mem_limit: lots",
    "signal": "stop_signal: SIGNONE",
    "duration": "stop_grace_period: soon",
    "volume": "volumes: ['nowhere:/data']",
    "target": "volumes: ['./a:relative']",
    "network": "networks: [nowhere]",
    "itself": "depends_on: [web]",
    "nobody": "depends_on: [db]",
    "condition": "depends_on: {web: {condition: perhaps}}",
    "restart": "restart: maybe",
    "probe": "healthcheck: {test: [WHAT, true]}",
    "privileged": "privileged: true",
    "platform": "platform: nonsense",
    "runtime": "runtime: nonsense",
    "name": "container_name: ../up",
}


@pytest.mark.parametrize("line", VALUES.values(), ids=VALUES)
def test_values(wasmimg: CommandLine, tmp_path: Path, line: str) -> None:
    (tmp_path / "compose.yaml").write_text(SERVICE + line + "\n")
    wasmimg("compose", "up", "-d", cwd=tmp_path).says(3, line.partition(":")[0])


def test_a_circle_of_services(wasmimg: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a: {image: hello, depends_on: [b]}\n  b: {image: hello, depends_on: [a]}\n"
    )
    wasmimg("compose", "up", "-d", cwd=tmp_path).says(3, "a", "b")


def test_no_file(wasmimg: CommandLine, tmp_path: Path) -> None:
    wasmimg("compose", "up", "-d", cwd=tmp_path).says(4, str(tmp_path))
    wasmimg("compose", "-f", tmp_path, "config").says(4, str(tmp_path))
    wasmimg("compose", "-f", "nowhere.yaml", "config", cwd=tmp_path).says(4, "nowhere.yaml")
    wasmimg("build", tmp_path / "nowhere").says(4, "nowhere")
