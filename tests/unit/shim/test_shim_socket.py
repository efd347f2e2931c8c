from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim import shim_socket


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ws-") as path:
        yield path


def config(**annotations: str) -> bytes:
    return json.dumps({"annotations": annotations}).encode()


CRI = "io.kubernetes.cri.sandbox-id"
RUNC = "io.containerd.runc.v2.group"


@pytest.mark.parametrize(
    ("document", "group"),
    [
        (config(), "c1"),
        (config(**{CRI: "pod"}), "pod"),
        (config(**{CRI: "pod", RUNC: "own"}), "own"),
        (config(**{RUNC: ""}), "c1"),
        (json.dumps({"annotations": {CRI: 7}}).encode(), "c1"),
        (json.dumps([CRI]).encode(), "c1"),
        (f'{{"annotations": "{CRI}"'.encode(), "c1"),
        (b"", "c1"),
    ],
)
def test_annotations_group_containers(document: bytes, group: str) -> None:
    assert shim_socket.group("c1", document) == group


def test_the_hosts_word_groups_a_namespace() -> None:
    documents = (config(), config(**{CRI: "pod"}), b"")
    found = {shim_socket.group("c1", document, "namespace") for document in documents}
    assert len(found) == 1
    assert found != {"c1"}
    assert shim_socket.group("c1", config(), "container") == "c1"


def test_a_socket_is_given_up_unless_somebody_comes(folder: str) -> None:
    path = f"{folder}/x"
    first = shim_socket.claim(path)
    assert first.listener is not None
    assert shim_socket.claim(path).listener is None
    assert not shim_socket.give_up(path, first.listener), "that caller is coming"
    first.listener.accept()[0].close()
    with open(f"{folder}/wasmimg.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not shim_socket.give_up(path, first.listener), "a start verb is looking"
    assert shim_socket.give_up(path, first.listener)
    first.listener.close()
    second = shim_socket.claim(path)
    assert second.listener is not None
    second.listener.close()


def test_a_socket_whose_folder_has_gone_is_given_up(folder: str) -> None:
    claimed = shim_socket.claim(f"{folder}/s/x")
    assert claimed.listener is not None
    shutil.rmtree(f"{folder}/s")
    assert shim_socket.give_up(f"{folder}/s/x", claimed.listener)
    claimed.listener.close()


def test_the_path_is_containerds() -> None:
    digest = hashlib.sha256(b"/run/containerd/containerd.sock/moby/c1").hexdigest()
    path = shim_socket.path("/run/containerd/s", "/run/containerd/containerd.sock", "moby", "c1")
    assert path == f"/run/containerd/s/{digest}"


def test_a_long_directory_gets_short_names_or_is_refused() -> None:
    path = shim_socket.path("/" + "d" * 70, "", "ns", "c1")
    assert len(path) <= 107
    with pytest.raises(InvalidInput, match="too long"):
        shim_socket.path("/" + "d" * 100, "", "ns", "c1")


def test_the_first_gets_the_socket_and_the_second_its_address(folder: str) -> None:
    path = f"{folder}/s/x"
    first = shim_socket.claim(path)
    assert first.listener is not None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(f"{folder}/s").st_mode) == 0o700
    second = shim_socket.claim(path)
    assert second.listener is None
    assert second.uri == first.uri == f"unix://{path}"
    first.listener.close()


def test_a_dead_socket_is_replaced(folder: str) -> None:
    first = shim_socket.claim(f"{folder}/x")
    assert first.listener is not None
    first.listener.close()
    assert Path(folder, "x").exists()
    second = shim_socket.claim(f"{folder}/x")
    assert second.listener is not None
    second.listener.close()


def test_a_busy_shim_counts_as_live(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shim_socket, "BACKLOG", 0)
    claimed = shim_socket.claim(f"{folder}/x")
    assert claimed.listener is not None
    assert shim_socket.is_live(f"{folder}/x")
    assert shim_socket.is_live(f"{folder}/x"), "the backlog is full now"
    claimed.listener.close()
