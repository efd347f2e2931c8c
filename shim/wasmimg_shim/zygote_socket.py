"""Where a zygote is met, and the calling side of its socket.

A zygote serves the callers who share its user, release, engine and namespaces: they make up the
name of its folder below `<run>/zygote/`. In the folder lie its socket and the lock that is held
while one is started. The start verb imports this module: `_socket` stands in for `socket`, which
costs as much as the whole interpreter.
"""

from __future__ import annotations

import _socket
import os
import sys

from wasmimg_shim import RELEASE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: The first byte of a request.
START = b"S"
STOP_WHEN_CHILDLESS = b"R"
#: The first byte of an answer; its text follows.
OK = b"0"
FAILED = b"1"

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
BACKLOG = 128
_UCRED_SIZE = 12
_O_PATH = 0o10000000


class ZygoteGone(ConnectionError):
    """There is no zygote at the socket, or it ended before it answered."""


def folder(run_dir: str, engine: str) -> str:
    """Return the folder of the zygote for this process."""
    inodes = [f"{os.stat(f'/proc/self/ns/{name}').st_ino & 0xFFFFFFF:x}" for name in NAMESPACES]
    return f"{run_dir}/zygote/{os.geteuid()}-{RELEASE}-{engine}-{'.'.join(inodes)}"


def sockets(run_dir: str) -> Iterator[str]:
    """Yield the folders of all zygotes below a run directory."""
    try:
        names = os.listdir(f"{run_dir}/zygote")
    except FileNotFoundError:
        return
    yield from (f"{run_dir}/zygote/{name}" for name in names)


def listen(path: str) -> _socket.socket:
    """Make the zygote's socket in its folder, for its user only, in place of a dead one."""
    at = os.open(path, _O_PATH | os.O_CLOEXEC)
    mask = os.umask(0o177)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        name = f"/proc/self/fd/{at}/socket"
        if os.path.lexists(name):
            os.unlink(name)
        sock.bind(name)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
        os.close(at)
    return sock


def dial(path: str, timeout: float) -> _socket.socket:
    """Connect to the zygote in the folder `path`; raises ZygoteGone if nobody listens.

    The socket is reached through a descriptor of its folder, so that its path may be longer than
    the 107 bytes of a socket address. `timeout` in seconds holds for each later operation.
    """
    try:
        at = os.open(path, _O_PATH | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ZygoteGone(path) from error
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout)
        sock.connect(f"/proc/self/fd/{at}/socket")
        _require_own_user(sock, path)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        sock.close()
        raise ZygoteGone(path) from error
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(at)
    return sock


def _require_own_user(sock: _socket.socket, path: str) -> None:
    if peer_ids(sock)[1] != os.geteuid():
        raise PermissionError(f"{path}/socket belongs to another user")


def peer_ids(sock: _socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process that connected, or that called listen (unix(7))."""
    ucred = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED_SIZE)
    return int.from_bytes(ucred[:4], sys.byteorder), int.from_bytes(ucred[4:8], sys.byteorder)


def ask(sock: _socket.socket, request: bytes) -> bytes:
    """Send a request and return the whole answer; raises ZygoteGone if there is none."""
    answer = b""
    try:
        sock.sendall(request)
        sock.shutdown(_socket.SHUT_WR)
        while portion := sock.recv(65536):
            answer += portion
    except (ConnectionResetError, BrokenPipeError) as error:
        raise ZygoteGone("the zygote ended") from error
    finally:
        sock.close()
    if not answer:
        raise ZygoteGone("the zygote ended")
    return answer


def release(path: str) -> bool:
    """Ask the zygote in the folder to end once it has no children; False if there was none."""
    try:
        return ask(dial(path, 5.0), STOP_WHEN_CHILDLESS).startswith(OK)
    except ZygoteGone:
        return False
