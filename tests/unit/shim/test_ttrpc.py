"""The two ends of a connection, alone, on each other, and on the bytes of the specification."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_shim import messages
from wasmimg_shim.ttrpc.client import ClientConnection
from wasmimg_shim.ttrpc.frame import HEADER, PAYLOAD_MAX, Frame, FrameReader, FrameType
from wasmimg_shim.ttrpc.server import Call, ServerConnection
from wasmimg_shim.ttrpc.status import Code, ProtocolError, RpcError
from wasmimg_shim.wire import encode

TASK = "containerd.task.v2.Task"
CONNECT_REQUEST = (
    bytes.fromhex("00000052 00000001 01 00 0a17")
    + TASK.encode()
    + bytes.fromhex("1207")
    + b"Connect"
    + bytes.fromhex("1a04 0a02 6331 20 8094ebdc03 2a22 0a1a")
    + b"containerd-namespace-ttrpc"
    + bytes.fromhex("1204")
    + b"moby"
)
CONNECT_RESPONSE = bytes.fromhex("00000008 00000001 02 00 1206 089221 109a21")
ERROR = bytes.fromhex("00000018 00000003 02 00 0a16 080c 1212") + b"exec not supported"


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def test_a_request_is_written_as_specified() -> None:
    stream, data = ClientConnection().call(
        TASK,
        "Connect",
        encode(messages.ProcessRequest("c1")),
        timeout_ns=1_000_000_000,
        metadata=(("containerd-namespace-ttrpc", "moby"),),
    )
    assert (stream, data) == (1, CONNECT_REQUEST)


def test_a_request_is_read_as_specified() -> None:
    calls, answers = ServerConnection().receive(CONNECT_REQUEST)
    metadata = (("containerd-namespace-ttrpc", "moby"),)
    assert calls == [Call(1, TASK, "Connect", b"\n\x02c1", metadata)]
    assert answers == b""


def test_answers_are_written_as_specified() -> None:
    server = ServerConnection()
    assert server.reply(1, encode(messages.ConnectResponse(4242, 4250))) == CONNECT_RESPONSE
    assert server.fail(3, Code.UNIMPLEMENTED, "exec not supported") == ERROR


def test_answers_are_read_as_specified() -> None:
    client = ClientConnection()
    client.call(TASK, "Connect", b"")
    client.call(TASK, "Exec", b"")
    first, second = client.receive(CONNECT_RESPONSE + ERROR)
    assert first.result() == encode(messages.ConnectResponse(4242, 4250))
    with pytest.raises(RpcError, match="exec not supported") as refused:
        second.result()
    assert refused.value.code == Code.UNIMPLEMENTED


def test_a_frame_is_complete_with_its_last_byte_and_not_before() -> None:
    reader = FrameReader()
    for index in range(len(CONNECT_REQUEST) - 1):
        assert reader.receive(CONNECT_REQUEST[index : index + 1]) == []
    (frame,) = reader.receive(CONNECT_REQUEST[-1:] + b"\0\0")
    assert frame.payload == CONNECT_REQUEST[HEADER.size :]


frames = st.builds(
    Frame,
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=200),
    st.just(False),
)


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 10_000), max_size=20))
def test_frames_come_back_however_they_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    reader = FrameReader()
    data = b"".join(frame.encode() for frame in sent)
    received = [frame for portion in portions(data, cuts) for frame in reader.receive(portion)]
    assert received == sent


@given(st.lists(st.binary(max_size=30), max_size=6), st.randoms(), st.lists(st.integers(0, 9999)))
def test_two_ends_understand_each_other(
    payloads: list[bytes], random: object, cuts: list[int]
) -> None:
    client, server = ClientConnection(), ServerConnection()
    asked = dict(client.call("s", "m", payload) for payload in payloads)
    streams = dict(zip(asked, payloads, strict=True))
    calls = [
        call
        for portion in portions(b"".join(asked.values()), cuts)
        for call in server.receive(portion)[0]
    ]
    assert {call.stream: call.payload for call in calls} == streams
    random.shuffle(calls)  # type: ignore[attr-defined]  # hypothesis's Random
    answers = b"".join(server.reply(call.stream, call.payload[::-1]) for call in calls)
    received = [answer for portion in portions(answers, cuts) for answer in client.receive(portion)]
    assert {answer.stream: answer.result()[::-1] for answer in received} == streams


@given(st.binary(max_size=100))
def test_any_bytes_leave_a_server_standing(data: bytes) -> None:
    server = ServerConnection()
    calls, answers = server.receive(data)
    assert isinstance(calls, list)
    assert isinstance(answers, bytes)


def status_of(answer: bytes) -> int:
    client = ClientConnection()
    for _ in range(4):
        client.call("s", "m", b"")
    (received,) = client.receive(answer)
    assert received.error is not None
    return received.error.code


@pytest.mark.parametrize("streams", [[2], [0], [1, 1], [5, 3]])
def test_bad_stream_ids_are_refused(streams: list[int]) -> None:
    server = ServerConnection()
    request = encode(messages.Request("s", "m"))
    *_, (calls, answers) = [
        server.receive(Frame(stream, FrameType.REQUEST, payload=request).encode())
        for stream in streams
    ]
    assert calls == []
    body = FrameReader().receive(answers)[0]
    assert body.stream == streams[-1]
    assert b"\x08\x03" in body.payload, "INVALID_ARGUMENT"


def test_an_oversized_request_is_skipped_and_refused() -> None:
    server = ServerConnection()
    header = HEADER.pack(PAYLOAD_MAX + 1, 1, FrameType.REQUEST, 0)
    calls, answers = server.receive(header)
    assert (calls, status_of(answers)) == ([], Code.RESOURCE_EXHAUSTED)
    rest = bytes(PAYLOAD_MAX + 1)
    assert server.receive(rest[:-1]) == ([], b"")
    calls, answers = server.receive(
        rest[-1:] + Frame(3, FrameType.REQUEST, payload=encode(messages.Request("s", "m"))).encode()
    )
    assert ([call.stream for call in calls], answers) == ([3], b"")


def test_a_malformed_request_is_refused() -> None:
    calls, answers = ServerConnection().receive(Frame(1, FrameType.REQUEST, 0, b"\xff").encode())
    assert (calls, status_of(answers)) == ([], Code.INVALID_ARGUMENT)


def test_an_answer_above_the_limit_becomes_an_error() -> None:
    assert status_of(ServerConnection().reply(1, bytes(PAYLOAD_MAX))) == Code.RESOURCE_EXHAUSTED


def test_frames_of_other_types_are_ignored() -> None:
    assert ServerConnection().receive(Frame(1, FrameType.DATA, 0, b"x").encode()) == ([], b"")
    assert ServerConnection().receive(Frame(1, 77, 0, b"x").encode()) == ([], b"")


def test_an_abandoned_calls_answer_is_dropped() -> None:
    client = ClientConnection()
    stream, _ = client.call("s", "m", b"")
    client.abandon(stream)
    assert client.receive(ServerConnection().reply(stream, b"late")) == []


def test_a_malformed_answer_ends_the_connection() -> None:
    client = ClientConnection()
    client.call("s", "m", b"")
    with pytest.raises(ProtocolError):
        client.receive(Frame(1, FrameType.RESPONSE, 0, b"\xff").encode())


def test_a_request_above_the_limit_is_not_sent() -> None:
    client = ClientConnection()
    with pytest.raises(ValueError, match="at most"):
        client.call("s", "m", bytes(PAYLOAD_MAX))
    assert client.call("s", "m", b"")[0] == 1
