from __future__ import annotations

import socket
from pathlib import Path

import pytest

from wasmimg_testing.registries import ours

#: the head of a record (RFC 8446 section 5.1) that holds the start of a ClientHello
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.mark.parametrize("rest", [b"", b"no line's end", b"two\r\n\r\n lines"])
def test_who_begins_with_tls_hears_at_once_that_this_is_http(tmp_path: Path, rest: bytes) -> None:
    with ours(tmp_path) as registry:
        host, port = registry.host.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(HELLO + rest)
            answer = b""
            while portion := client.recv(1000):
                answer += portion
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
