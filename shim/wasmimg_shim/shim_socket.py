"""The address of a shim: one socket for each group of containers, and who gets to serve it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import socket
from contextlib import suppress
from typing import NamedTuple, cast

from wasmimg_images.errors import InvalidInput

#: Annotations that name a group of containers, the first one that is there decides
#: (containerd, cmd/containerd-shim-runc-v2/manager).
GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
#: What WASMIMG_SHIM_GROUP may say: one shim for all containers of a containerd namespace.
BY_NAMESPACE = "namespace"
#: no container's id, nor a pod's
_NAMESPACE_GROUP = "/"
CONTAINERD_DIR = "/run/containerd/s"
BACKLOG = 128
#: unix(7): the longest path of a socket address
_PATH_MAX = 107
_SHORT_DIGEST = 24
_LIVE_SECONDS = 0.1


class ShimAddress(NamedTuple):
    """Where a shim listens, and its socket if it is ours to serve (None: another process does)."""

    path: str
    listener: socket.socket | None

    @property
    def uri(self) -> str:
        """The address as the start verb prints it."""
        return f"unix://{self.path}"


def group(container: str, config: bytes, configured: str = "") -> str:
    """Return the group that a container belongs to by its config.json, else its own id.

    `configured` is what WASMIMG_SHIM_GROUP says; the host's word counts for more than a container's.
    """
    if configured == BY_NAMESPACE:
        return _NAMESPACE_GROUP
    if not any(name.encode() in config for name in GROUP_ANNOTATIONS):
        return container
    try:
        document: object = json.loads(config)
    except (ValueError, RecursionError):
        return container
    for name in GROUP_ANNOTATIONS:
        value = _annotation(document, name)
        if value:
            return value
    return container


def _annotation(document: object, name: str) -> str:
    annotations = _member(document, "annotations")
    value = _member(annotations, name)
    return value if isinstance(value, str) else ""


def _member(document: object, name: str) -> object:
    return cast("dict[str, object]", document).get(name) if isinstance(document, dict) else None


def path(directory: str, address: str, namespace: str, group_id: str) -> str:
    """Return a socket's path as containerd's own shims name it: a SHA-256 of what it stands for.

    Raises InvalidInput if the directory leaves no room for a name.
    """
    digest = hashlib.sha256(f"{address}/{namespace}/{group_id}".encode()).hexdigest()
    for name in (digest, digest[:_SHORT_DIGEST]):
        if len(os.fsencode(f"{directory}/{name}")) <= _PATH_MAX:
            return f"{directory}/{name}"
    raise InvalidInput(
        f"{directory}: too long for sockets, whose paths have at most {_PATH_MAX} bytes",
        hint="set WASMIMG_RUN to a shorter path",
    )


def claim(socket_path: str) -> ShimAddress:
    """Listen at a path, unless a live shim does: of racing callers exactly one gets the socket."""
    directory = os.path.dirname(socket_path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    lock = _open_lock(socket_path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_live(socket_path):
            return ShimAddress(socket_path, None)
        if os.path.lexists(socket_path):
            os.unlink(socket_path)
        return ShimAddress(socket_path, _listen(socket_path))
    finally:
        os.close(lock)


def give_up(socket_path: str, listener: socket.socket) -> bool:
    """Take the address of one's own socket away, unless somebody is coming; never waits.

    A start verb that found the socket alive has connected to it under the lock: it is seen here, or
    it finds nobody any more. The caller closes the socket then.
    """
    try:
        lock = _open_lock(socket_path)
    except FileNotFoundError:  # the folder has been removed: nobody can come
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _has_callers(listener):
            return False
        with suppress(FileNotFoundError):
            os.unlink(socket_path)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _open_lock(socket_path: str) -> int:
    directory = os.path.dirname(socket_path)
    return os.open(f"{directory}/wasmimg.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def remove_dead(socket_path: str) -> None:
    """Remove the socket of a shim that was killed; one that somebody listens at stays."""
    directory = os.path.dirname(socket_path)
    with suppress(FileNotFoundError), open(f"{directory}/wasmimg.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_live(socket_path):
            os.unlink(socket_path)


def is_live(socket_path: str) -> bool:
    """Tell whether anybody listens at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(_LIVE_SECONDS)
        try:
            probe.connect(socket_path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):
            return True  # its backlog is full: it is busy, not dead
    return True


def _has_callers(listener: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def _listen(socket_path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(socket_path)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener
