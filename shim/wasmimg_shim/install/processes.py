"""Who listens at a socket, and what is known of that process (proc(5), unix(7))."""

from __future__ import annotations

import os
import socket
import struct

from wasmimg_images.errors import HostError


def peer(path: str) -> int | None:
    """Return the pid of who listens at a Unix socket (unix(7), SO_PEERCRED); None if nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise HostError(f"{path}: {error.strerror}", hint="sudo") from None
        ucred = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", ucred)[0]
    return pid


def name(pid: int) -> str:
    """Return the name of a process, of which the kernel keeps 15 characters."""
    return _read(pid, "comm").decode(errors="replace").strip()


def shares_our_root(pid: int) -> bool:
    """Tell whether a process sees the files that we see."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))
    except OSError:
        return False


def flags(pid: int) -> dict[str, str]:
    """Read the flags of a Go program that runs: name -> value, empty for a switch."""
    words = [os.fsdecode(word) for word in _read(pid, "cmdline").split(b"\0")[1:]]
    found: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, given, value = word.removeprefix("--").partition("=")
            found[name] = value if given else ("" if following.startswith("-") else following)
    return found


def search(pid: int) -> tuple[str, ...]:
    """Return the PATH of a process; nothing if it can't be read."""
    for pair in _read(pid, "environ").split(b"\0"):
        if pair.startswith(b"PATH="):
            return tuple(os.fsdecode(pair.removeprefix(b"PATH=")).split(":"))
    return ()


def _read(pid: int, file_name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{file_name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
