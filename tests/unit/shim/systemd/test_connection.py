"""Asking systemd, where what answers is a peer of the test's own that may answer anything."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import HostError
from wasmimg_shim.systemd import dbus
from wasmimg_shim.systemd.connection import Connection
from wasmimg_shim.systemd.dbus import Variant
from wasmimg_shim.systemd.properties import Property

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB = "/org/freedesktop/systemd1/job/7"
TYPES = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 8: "g"}


def message(kind: int, fields: dict[int, object], signature: str = "", *values: object) -> bytes:
    """Encode any message: a call with another kind and other fields, little-endian."""
    if signature:
        fields = {**fields, dbus.SIGNATURE: signature}
    entries = [(code, Variant(TYPES[code], value)) for code, value in fields.items()]
    body, header = dbus._Writer(), dbus._Writer()
    for one, value in zip(dbus.split(signature), values, strict=True):
        body.put(one, value)
    for letter, number in zip("yyyyuu", (ord("l"), kind, 0, 1, len(body.out), 1), strict=True):
        header.put(letter, number)
    header.put("a(yv)", entries)
    header.align(8)
    return bytes(header.out + body.out)


def removed(job: str, result: str) -> bytes:
    fields: dict[int, object] = {dbus.MEMBER: "JobRemoved", dbus.PATH: "/org/freedesktop/systemd1"}
    return message(dbus.SIGNAL, fields, "uoss", 7, job, "x.scope", result)


def reply(to: int) -> bytes:
    return message(dbus.REPLY, {dbus.REPLY_SERIAL: to}, "o", JOB)


@contextmanager
def peer(path: Path, answer: Callable[[socket.socket, list[dbus.Message]], None]) -> Iterator[None]:
    """Serve one connection: greet as systemd does, then do as told."""
    heard: list[dbus.Message] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                line = client.recv(200)
                assert line == f"\0AUTH EXTERNAL {str(os.geteuid()).encode().hex()}\r\n".encode()
                client.sendall(b"OK 0123\r\n")
                answer(client, heard)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join(10)
            assert not thread.is_alive()


def hear(client: socket.socket) -> dbus.Message:
    data = b""
    while b"BEGIN\r\n" in data or len(data) < 16 or len(data) < dbus.size(data[:16]):
        data = (data + client.recv(4096)).replace(b"BEGIN\r\n", b"")
    return dbus.parse(data)


def start(path: Path) -> None:
    connection = Connection.connect(str(path), "/nowhere")
    try:
        connection.start_transient("x.scope", [Property("PIDs", "au", [1])])
    finally:
        connection.close()


def test_a_scope_is_asked_for_and_its_job_awaited(tmp_path: Path) -> None:
    calls: list[dbus.Message] = []

    def answer(client: socket.socket, heard: list[dbus.Message]) -> None:
        call = hear(client)
        calls.append(call)
        # Signals of others, and the own one before the reply: none is lost, none is mistaken.
        client.sendall(removed("/other", "failed") + removed(JOB, "done") + reply(call.serial))

    with peer(tmp_path / "private", answer):
        start(tmp_path / "private")
    (call,) = calls
    assert call.fields[dbus.MEMBER] == "StartTransientUnit"
    assert call.fields[dbus.DESTINATION] == "org.freedesktop.systemd1"
    assert call.body == ("x.scope", "fail", [("PIDs", Variant("au", [1]))], [])


def test_a_job_that_fails_is_named(tmp_path: Path) -> None:
    def answer(client: socket.socket, heard: list[dbus.Message]) -> None:
        client.sendall(reply(hear(client).serial) + removed(JOB, "failed"))

    with (
        peer(tmp_path / "private", answer),
        pytest.raises(HostError, match=r"has not started x\.scope: failed"),
    ):
        start(tmp_path / "private")


def test_a_refusal_has_systemds_words(tmp_path: Path) -> None:
    def answer(client: socket.socket, heard: list[dbus.Message]) -> None:
        fields: dict[int, object] = {
            dbus.REPLY_SERIAL: hear(client).serial,
            dbus.ERROR_NAME: "org.freedesktop.systemd1.UnitExists",
        }
        client.sendall(message(dbus.ERROR, fields, "s", "Unit x.scope was already loaded"))

    with (
        peer(tmp_path / "private", answer),
        pytest.raises(HostError, match=r"Unit x\.scope was already loaded"),
    ):
        start(tmp_path / "private")


def test_a_connection_that_breaks_is_an_error(tmp_path: Path) -> None:
    def answer(client: socket.socket, heard: list[dbus.Message]) -> None:
        client.sendall(reply(hear(client).serial)[:20])

    with peer(tmp_path / "private", answer), pytest.raises(ConnectionResetError):
        start(tmp_path / "private")


def test_no_way_to_systemd_says_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be asked") as caught:
        Connection.connect(str(tmp_path / "private"), str(tmp_path / "bus"))
    assert str(tmp_path / "bus") in caught.value.message
    assert "cgroupfs" in (caught.value.hint or "")
