"""A Docker that answers as it should not: each is one line, none hangs, none is believed."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.install import proof
from wasmimg_shim.install.docker_api import DockerApi, DockerError, demultiplex


@contextlib.contextmanager
def answering(folder: Path, *answers: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one connection after the other: None keeps silent. Gives the socket and the requests."""
    path = str(folder / "docker.sock")
    requests: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    if answer is None:
                        connection.recv(1)  # until the caller gives up
                    else:
                        connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        yield path, requests
        server.join(10)
        assert not server.is_alive()


def http(body: bytes, status: str = "200 OK", size: int | None = None) -> bytes:
    length = len(body) if size is None else size
    return f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n".encode() + body


def test_an_answer_is_a_document(tmp_path: Path) -> None:
    with answering(tmp_path, http(b'{"Version": "28.5.2"}')) as (path, requests):
        assert DockerApi(path).get("/version", all="1").need("Version").text() == "28.5.2"
    assert requests[0].startswith(b"GET /version?all=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            http(b'{"message": "no such image: x\\nmore"}', "404 Not Found"),
            "Docker: no such image: x",
        ),
        (http(b"<html>bad gateway", "502 Bad Gateway"), "Docker: <html>bad gateway"),
        (http(b"", "500 Internal Server Error"), "Docker: no reason given"),
        (http(b'["message"]', "500 Internal Server Error"), 'Docker: ["message"]'),
        (b"SSH-2.0-OpenSSH_9\r\n", "does not answer"),
        (http(b"{}", size=100), "does not answer"),
        (b"", "does not answer"),
    ],
)
def test_refusals_and_nonsense_are_one_line(tmp_path: Path, answer: bytes, words: str) -> None:
    with answering(tmp_path, answer) as (path, _), pytest.raises(DockerError) as caught:
        DockerApi(path).get("/info")
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    with (
        answering(tmp_path, http(b"OK")) as (path, _),
        pytest.raises(InvalidInput, match="Docker's answer to /info is not JSON"),
    ):
        DockerApi(path).get("/info")


def test_a_daemon_that_hangs_is_given_up(tmp_path: Path) -> None:
    with answering(tmp_path, None) as (path, _):
        with pytest.raises(DockerError, match=r"did not answer GET /info in 0 s") as caught:
            DockerApi(path, timeout=0.1).get("/info")
        assert caught.value.hint


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    with pytest.raises(DockerError, match="does not answer"):
        DockerApi(str(tmp_path / "none")).get("/info")


def test_the_containerd_store_is_told_by_the_drivers_status(tmp_path: Path) -> None:
    status = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    answers = [http(json.dumps(document).encode()) for document in (status, {"DriverStatus": None})]
    with answering(tmp_path, *answers) as (path, _):
        assert proof.docker_snapshotter(DockerApi(path))
        assert not proof.docker_snapshotter(DockerApi(path))


def test_a_sweep_that_docker_refuses_is_an_error(tmp_path: Path) -> None:
    answers = [
        http(b'[{"Id": "c1"}]'),
        http(b'[{"RepoTags": ["wasmimg-proof:1"]}]'),
        http(b'{"message": "removal of c1 is in progress"}', "409 Conflict"),
    ]
    with answering(tmp_path, *answers) as (path, requests):
        with pytest.raises(HostError, match="removal of c1 is in progress"):
            proof.sweep_docker(DockerApi(path))
        assert requests[2].startswith(b"DELETE /containers/c1?force=1&v=1 ")


def test_a_log_is_split_into_its_streams() -> None:
    def frame(stream: int, data: bytes) -> bytes:
        return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4) + data

    log = frame(1, b"out ") + frame(2, b"err") + frame(1, b"more")
    assert demultiplex(log) == (b"out more", b"err")
    assert demultiplex(log[:-2]) == (b"out mo", b"err")
    assert demultiplex(b"") == (b"", b"")
