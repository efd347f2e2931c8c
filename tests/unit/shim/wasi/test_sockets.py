from __future__ import annotations

import os
import resource
import socket
import struct
from collections.abc import Iterator

import pytest

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.wasi import errno
from wasmimg_shim.wasi.world import MODULE
from wasmimg_testing.wasi import MEMORY, Stage

INET4, INET6, UNIX = 1, 2, 3
DGRAM, STREAM = 1, 2
V4_LOOPBACK = bytes((127, 0, 0, 1))
V6_LOOPBACK = bytes(15) + b"\1"
REUSEADDR, TYPE, ERROR, SNDBUF, LINGER, RCVTIMEO, ACCEPTCONN = 0, 1, 2, 5, 9, 11, 13


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage().open()
    yield stage
    for fd in list(stage.world._table.open):
        stage.call("fd_close", fd)


def address(stage: Stage, content: bytes) -> int:
    return stage.put(struct.pack("<II", stage.put(content), len(content)))


def v2(family: int, content: bytes) -> bytes:
    return (struct.pack("<H", family) + content).ljust(128, b"\0")


def opened(stage: Stage, family: int = INET4, kind: int = STREAM) -> int:
    at = stage.room()
    stage.ok("sock_open", family, kind, at)
    return stage.u32(at)


def local(stage: Stage, fd: int, length: int = 4, name: str = "local") -> tuple[bytes, int, int]:
    """Address, family and port as the first version gives them."""
    at, family, port = address(stage, bytes(length)), stage.room(), stage.room()
    stage.ok(f"sock_get{name}addr", fd, at, family, port)
    buffer = stage.u32(at)
    return bytes(stage.memory[buffer : buffer + length]), stage.u32(family), stage.u32(port)


def listening(stage: Stage, family: int = INET4) -> tuple[int, int]:
    """A listener on the loopback address of the family, and its port."""
    fd = opened(stage, family)
    content = V4_LOOPBACK if family == INET4 else V6_LOOPBACK
    stage.ok("sock_bind", fd, address(stage, content), 0)
    stage.ok("sock_listen", fd, 16)
    return fd, local(stage, fd, len(content))[2]


def host_socket(stage: Stage, fd: int) -> socket.socket:
    return socket.socket(fileno=os.dup(stage.world._table.open[fd].host))


@pytest.mark.parametrize(
    ("family", "host", "written"), [(INET4, "127.0.0.1", 4), (INET6, "::1", 6)]
)
@pytest.mark.parametrize("form", ["v1", "v2", "_v2"])
def test_a_connection_from_accept_to_close(
    stage: Stage, family: int, host: str, written: int, form: str
) -> None:
    listener, port = listening(stage, family)
    at = stage.room()
    with socket.create_connection((host, port)) as client:
        match form:
            case "v1":
                stage.ok("sock_accept", listener, at)
            case "v2":
                stage.ok("sock_accept", listener, 4, at)
            case _:
                stage.ok("sock_accept_v2", listener, 4, at)
        fd = stage.u32(at)
        with host_socket(stage, fd) as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert os.get_blocking(accepted.fileno()) == (form == "v1")
        length = 4 if family == INET4 else 16
        ours = V4_LOOPBACK if family == INET4 else V6_LOOPBACK
        assert local(stage, fd, length) == (ours, written, port)
        assert local(stage, fd, length, "peer") == (ours, written, client.getsockname()[1])
        client.sendall(b"request")
        assert stage.read(fd) == b"request"
        assert stage.write(fd, b"answer") == 6
        assert client.recv(10) == b"answer"
        stage.ok("sock_shutdown", fd, 2)
        assert client.recv(10) == b""
        stage.ok("fd_close", fd)


def test_accept_without_a_client_and_with_wrong_flags(stage: Stage) -> None:
    listener, _ = listening(stage)
    stage.ok("fd_fdstat_set_flags", listener, 4)
    assert stage.call("sock_accept", listener, 0, stage.room()) == errno.AGAIN
    assert stage.call("sock_accept", listener, 1, stage.room()) == errno.INVAL
    assert stage.call("sock_accept", 1, 0, stage.room()) == errno.NOTCAPABLE


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_connecting(stage: Stage, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd, port = opened(stage), server.getsockname()[1]
        if form == "v1":
            stage.ok("sock_connect", fd, address(stage, V4_LOOPBACK), port)
        else:
            stage.ok("sock_connect_v2", fd, address(stage, v2(INET4, V4_LOOPBACK)), port)
        accepted, _ = server.accept()
        with accepted:
            count, flags = stage.room(), stage.room()
            stage.ok("sock_send", fd, stage.iovecs(b"one", b"two"), 2, 0, count)
            assert accepted.recv(10) == b"onetwo"
            accepted.sendall(b"answer")
            buffer = stage.room(16)
            vector = stage.put(struct.pack("<II", buffer, 16))
            for riflags in (1, 0):  # peek, then take
                stage.ok("sock_recv", fd, vector, 1, riflags, count, flags)
                assert stage.memory[buffer : buffer + stage.u32(count)] == b"answer"
            assert stage.call("sock_recv", fd, vector, 1, 4, count, flags) == errno.INVAL


def test_a_connect_that_does_not_wait(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd = opened(stage)
        stage.ok("fd_fdstat_set_flags", fd, 4)
        port = server.getsockname()[1]
        number = stage.call("sock_connect", fd, address(stage, V4_LOOPBACK), port)
        assert number in {0, errno.INPROGRESS}


def test_refused_connections_and_their_error(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert (
            stage.call("sock_connect", opened(stage), address(stage, V4_LOOPBACK), port)
            == errno.CONNREFUSED
        )


def test_writing_to_a_peer_that_left_is_an_error_not_a_signal(stage: Stage) -> None:
    listener, port = listening(stage)
    at = stage.room()
    client = socket.create_connection(("127.0.0.1", port))
    stage.ok("sock_accept", listener, at)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    fd = stage.u32(at)
    assert stage.call("fd_read", fd, stage.iovecs(b"x"), 1, stage.room()) == errno.CONNRESET
    assert stage.call("sock_send", fd, stage.iovecs(b"x"), 1, 0, stage.room()) == errno.PIPE


def test_datagrams(stage: Stage) -> None:
    fd = opened(stage, INET4, DGRAM)
    stage.ok("sock_bind", fd, address(stage, V4_LOOPBACK), 0)
    port = local(stage, fd)[2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer_port = peer.getsockname()[1]
        buffer, count, flags, sender_port = (stage.room() for _ in range(4))
        vector = stage.put(struct.pack("<II", buffer, 4))
        for form in ("v1", "v2", "wide"):
            peer.sendto(b"longer", ("127.0.0.1", port))
            sender = address(stage, bytes(128 if form == "wide" else 4))
            stage.memory[sender_port : sender_port + 4] = b"\xaa" * 4
            if form == "v1":
                stage.ok("sock_recv_from", fd, vector, 1, sender, 0, count, flags)
            else:
                stage.ok("sock_recv_from", fd, vector, 1, sender, 0, sender_port, count, flags)
                # in network order, and only 16 bits of the guest's word
                expected = peer_port.to_bytes(2, "big") + b"\xaa\xaa"
                assert stage.memory[sender_port : sender_port + 4] == expected
            assert stage.memory[buffer : buffer + 4] == b"long"
            assert stage.u32(count) == 4
            assert stage.memory[flags] == 1  # cut short
            at = stage.u32(sender)
            expected = v2(INET4, V4_LOOPBACK) if form == "wide" else V4_LOOPBACK
            assert stage.memory[at : at + len(expected)] == expected
        destination = address(stage, V4_LOOPBACK)
        stage.ok("sock_send_to", fd, stage.iovecs(b"a", b"b"), 2, destination, peer_port, 0, count)
        assert peer.recv(10) == b"ab"
        wide = address(stage, v2(INET4, V4_LOOPBACK))
        stage.ok("sock_send_to_v2", fd, stage.iovecs(b"c"), 1, wide, peer_port, 0, count)
        assert peer.recv(10) == b"c"


def test_addresses_of_128_bytes(stage: Stage) -> None:
    for family, content in ((INET4, V4_LOOPBACK), (INET6, V6_LOOPBACK)):
        fd = opened(stage, family)
        stage.ok("sock_bind_v2", fd, address(stage, v2(family, content)), 0)
        at, port = address(stage, bytes(128)), stage.room()
        stage.ok("sock_getlocaladdr", fd, at, port)
        buffer = stage.u32(at)
        assert stage.memory[buffer : buffer + 128] == v2(family, content)
        assert stage.u32(port) > 0
    fd = opened(stage)
    assert stage.call("sock_bind_v2", fd, address(stage, v2(UNIX, b"/x")), 0) == errno.NOSYS
    assert stage.call("sock_bind_v2", fd, address(stage, v2(9, b"")), 0) == errno.INVAL
    assert (
        stage.call("sock_getlocaladdr", fd, address(stage, bytes(4)), stage.room()) == errno.INVAL
    )
    assert stage.call("sock_bind", fd, address(stage, v2(INET4, V4_LOOPBACK)), 0) == errno.INVAL


def test_an_address_that_does_not_fit(stage: Stage) -> None:
    fd, _ = listening(stage, INET6)
    room = (address(stage, bytes(4)), stage.room(), stage.room())
    assert stage.call("sock_getlocaladdr", fd, *room) == errno.NOMEM


@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [(0, STREAM, 28), (INET4, 0, 28), (4, STREAM, 28), (INET4, 3, 28), (UNIX, STREAM, 52)],
)
def test_sockets_that_can_not_be(stage: Stage, family: int, kind: int, expected: int) -> None:
    assert stage.call("sock_open", family, kind, stage.room()) == expected


def test_options(stage: Stage) -> None:
    fd, value, length = opened(stage), stage.room(16), stage.put(struct.pack("<I", 16))
    stage.memory[value] = 1
    stage.ok("sock_setsockopt", fd, 0, REUSEADDR, value, 4)
    stage.ok("sock_getsockopt", fd, 0, REUSEADDR, value, length)
    assert (stage.u32(value), stage.u32(length)) == (1, 4)
    for name, expected in ((TYPE, STREAM), (ERROR, 0), (ACCEPTCONN, 0)):
        stage.memory[length] = 4
        stage.ok("sock_getsockopt", fd, 0, name, value, length)
        assert stage.u32(value) == expected
    timeout = stage.put(struct.pack("<qq", 2, 500_000))
    stage.ok("sock_setsockopt", fd, 0, RCVTIMEO, timeout, 16)
    stage.memory[length] = 16
    stage.ok("sock_getsockopt", fd, 0, RCVTIMEO, value, length)
    assert struct.unpack_from("<qq", stage.memory, value)[0] == 2
    assert stage.call("sock_getsockopt", fd, 6, 1, value, length) == errno.INVAL
    assert stage.call("sock_setsockopt", fd, 0, 15, value, 4) == errno.INVAL
    assert stage.call("sock_setsockopt", fd, 0, SNDBUF, MEMORY - 2, 4) == errno.FAULT


def test_the_error_option_speaks_wasi(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        fd = opened(stage)
        stage.ok("fd_fdstat_set_flags", fd, 4)
        destination = address(stage, V4_LOOPBACK)
        stage.call("sock_connect", fd, destination, unused.getsockname()[1])
        value, length = stage.room(), stage.put(struct.pack("<I", 4))
        stage.ok("sock_getsockopt", fd, 0, ERROR, value, length)
        assert stage.u32(value) in {0, errno.CONNREFUSED}


def test_misaligned_pointers(stage: Stage) -> None:
    fd, odd = opened(stage), stage.room(16) + 2
    assert stage.call("sock_open", INET4, STREAM, odd) == errno.ADDRNOTAVAIL
    assert stage.call("sock_bind", fd, odd, 0) == errno.ADDRNOTAVAIL


def test_files_are_no_sockets(stage: Stage) -> None:
    assert stage.call("sock_listen", 1, 1) == errno.NOTSOCK
    assert stage.call("sock_listen", 99, 1) == errno.BADF
    assert stage.call("sock_bind", opened(stage), address(stage, V4_LOOPBACK), 65536) == errno.INVAL
    fd = opened(stage)
    assert stage.call("sock_shutdown", fd, 0) == errno.INVAL
    assert stage.call("sock_shutdown", fd, 3) == errno.NOTCONN
    assert stage.call("sock_getpeeraddr", fd, address(stage, bytes(4)), 8, 8) == errno.NOTCONN


def test_a_full_descriptor_table(stage: Stage) -> None:
    listener, port = listening(stage)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(("127.0.0.1", port)):
        in_use = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            assert stage.call("sock_accept", listener, 4, stage.room()) == errno.MFILE
            assert stage.call("sock_open", INET4, STREAM, stage.room()) == errno.MFILE
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert in_use
        stage.ok("sock_accept", listener, 4, stage.room())


def test_the_modules_own_type_chooses_the_version(stage: Stage) -> None:
    short = stage.world.function(MODULE, "sock_accept", "ii", "i")
    long = stage.world.function(MODULE, "sock_accept", "iii", "i")
    assert short.call != long.call
    with pytest.raises(InvalidInput, match=r"wasi_snapshot_preview1\.sock_accept with a type"):
        stage.world.function(MODULE, "sock_accept", "i", "i")
    with pytest.raises(InvalidInput, match=r"env\.memcpy"):
        stage.world.function("env", "memcpy", "iii", "i")


def test_stopping_closes_listeners_and_waits_for_answers(stage: Stage) -> None:
    listener, port = listening(stage)
    stage.ok("fd_fdstat_set_flags", listener, 4)
    at = stage.room()
    with socket.create_connection(("127.0.0.1", port)) as client:
        stage.ok("sock_accept", listener, 4, at)
        fd = stage.u32(at)
        assert not stage.world.owes_answers()
        client.sendall(b"request")
        assert stage.world.owes_answers()
        stage.world.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        assert stage.call("sock_accept", listener, 4, at) == errno.AGAIN
        assert stage.read(fd) == b"request"
        assert stage.world.owes_answers()
        stage.write(fd, b"answer")
        assert not stage.world.owes_answers()
        stage.ok("fd_close", fd)
        assert not stage.world.owes_answers()
