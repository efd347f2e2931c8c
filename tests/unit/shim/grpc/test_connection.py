from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim.grpc.connection import ClientConnection
from wasmimg_shim.ttrpc.status import Code, ProtocolError, RpcError
from wasmimg_testing.grpc_server import Handler, ServerConnection

ECHO = "/test.Echo/Echo"


def exchange(
    client: ClientConnection, server: ServerConnection, request: bytes, portion: int = 1 << 20
) -> list[bytes]:
    """Make a call of ECHO, handing bytes over in portions of a size."""
    client.call(ECHO, request)
    found: list[bytes] = []
    for _ in range(10_000):
        if client.finished:
            return found
        server.receive(client.outgoing())
        data = server.outgoing()
        assert data, "nobody has anything to say"
        for at in range(0, len(data), portion):
            found += client.receive(data[at : at + portion])
    raise AssertionError("it does not end")


def pair(handler: Handler) -> tuple[ClientConnection, ServerConnection]:
    return ClientConnection((("containerd-namespace", "moby"),)), ServerConnection({ECHO: handler})


@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(1, 64))
def test_messages_come_whole_however_bytes_are_cut(messages: list[bytes], portion: int) -> None:
    client, server = pair(lambda request: ([request, *messages], 0, ""))
    assert exchange(client, server, b"x", portion) == [b"x", *messages]


def test_a_call_says_what_it_is() -> None:
    client, server = pair(lambda request: ([request], 0, ""))
    exchange(client, server, b"")
    (headers,) = server.headers
    assert headers[":method"] == "POST"
    assert headers["te"] == "trailers"
    assert headers["content-type"] == "application/grpc"
    assert headers["containerd-namespace"] == "moby"


def test_an_answer_may_be_longer_than_all_windows() -> None:
    long = bytes(range(256)) * 4096
    client, server = pair(lambda _: ([long] * 3, 0, ""))
    assert exchange(client, server, b"") == [long] * 3


def test_one_call_after_the_other() -> None:
    client, server = pair(lambda request: ([request], 0, ""))
    assert [exchange(client, server, bytes([n])) for n in range(5)] == [
        [bytes([n])] for n in range(5)
    ]


@pytest.mark.parametrize("before", [[], [b"something"]])
def test_a_refusal_is_raised_with_its_text(before: list[bytes]) -> None:
    client, server = pair(lambda _: (before, 5, 'container "x" not found%21'))
    with pytest.raises(RpcError) as caught:
        exchange(client, server, b"")
    assert (caught.value.code, caught.value.message) == (
        Code.NOT_FOUND,
        'container "x" not found!',
    )
    assert client.finished


@given(st.binary(min_size=1, max_size=100))
def test_nonsense_is_refused_or_awaited(data: bytes) -> None:
    client, _ = pair(lambda request: ([request], 0, ""))
    client.call(ECHO, b"")
    try:
        assert client.receive(data) == []
    except ProtocolError:
        return
    assert not client.finished


@pytest.mark.parametrize(
    ("messages", "status"),
    [([b"\1\0\0\0\1x"], "0"), ([b"\0\x7f\0\0\0x"], "0"), ([b"\0\0\0\0\2x"], "0"), ([b""], "no")],
)
def test_what_is_no_grpc_is_refused(messages: list[bytes], status: str) -> None:
    client = ClientConnection()
    client.call(ECHO, b"")
    raw = _RawServer(messages, status)
    with pytest.raises(ProtocolError):
        client.receive(raw.answer(client.outgoing()))


class _RawServer(ServerConnection):
    """Sends bytes that are no messages."""

    def __init__(self, messages: list[bytes], status: str) -> None:
        super().__init__({})
        self._raw = b"".join(messages)
        self._status = status

    def answer(self, data: bytes) -> bytes:
        self._http.receive_data(data)
        self._http.send_headers(1, [(":status", "200")])
        self._http.send_data(1, self._raw)
        self._http.send_headers(1, [("grpc-status", self._status)], end_stream=True)
        return self.outgoing()
