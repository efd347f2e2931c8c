"""The start verb: ask the zygote for a shim process and print where it is.

This is the path whose time every container start pays. It imports next to nothing (a test holds the
exact set), does no work that the zygote can do, and leaves what is odd about its input to it.
"""

from __future__ import annotations

import fcntl
import os
import sys

from wasmimg_shim import protobuf, zygote_socket
from wasmimg_shim.start_request import StartRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wasmimg_shim.flags import Flags

#: The engines that this release has an adapter for; the first one stands in for all others.
ENGINES = ("wasmtime",)
#: An answer takes milliseconds; seconds when the zygote has to be started on a loaded machine.
_ANSWER_SECONDS = 30.0
_TRIES = 4
_PORTION = 65536
_STDIN_MAX = 1 << 20
#: What the zygote keeps of the environment of whoever happened to start it.
_ZYGOTE_KEEPS = (b"PATH", b"LANG", b"HOME", b"TMPDIR")


class StartFailed(Exception):
    """There will be no shim; the message is for the caller of the start verb."""


def start(flags: Flags, program: str) -> bytes:
    """Return what to print: where a live shim for `flags.id` is; raises StartFailed.

    `program` is the path that this shim was called by.
    """
    environment = dict(os.environb)
    stdin = _stdin()
    request = StartRequest.of(os.path.basename(program), flags, stdin, environment).encode()
    engine = engine_name(environment, program)
    try:
        if environment.get(b"WASMIMG_ZYGOTE") == b"off":
            answer = _without_zygote(request, engine)
        else:
            answer = _ask(zygote_socket.folder(run_dir(environment), engine), engine, request)
    except OSError as error:
        raise StartFailed(f"can't reach the zygote: {error}") from error
    except protobuf.MalformedMessage as error:
        raise StartFailed(str(error)) from error
    if not answer.startswith(zygote_socket.OK):
        raise StartFailed(answer[1:].decode("utf-8", "replace"))
    return answer[1:]


def run_dir(environment: Mapping[bytes, bytes]) -> str:
    """Return the directory of sockets and states: as wasmimg_images.home, which costs an import."""
    chosen = os.fsdecode(environment.get(b"WASMIMG_RUN", b""))
    if chosen:
        return chosen
    if os.geteuid() == 0:
        return "/run/wasmimg"
    base = os.fsdecode(environment.get(b"XDG_RUNTIME_DIR", b"")) or f"/tmp/wasmimg-{os.getuid()}"
    return f"{base}/wasmimg"


def engine_name(environment: Mapping[bytes, bytes], program: str) -> str:
    """Return the engine to prefer: WASMIMG_ENGINE, else what the program's name says, else wasmtime.

    `containerd-shim-wasmedge-v1` prefers WasmEdge. A name is only a preference: published Compose
    files name an engine that need not be here, and their images run on each.
    """
    name = environment.get(b"WASMIMG_ENGINE", b"").decode("ascii", "replace")
    if name.isalnum():
        return name
    called = os.path.basename(program).removeprefix("containerd-shim-").rpartition("-")[0]
    return called if called in ENGINES else ENGINES[0]


def _stdin() -> bytes:
    """Read what containerd sent, to the end; a terminal or a closed descriptor says nothing."""
    data = b""
    try:
        if os.isatty(0):
            return data
        while len(data) < _STDIN_MAX and (portion := os.read(0, _PORTION)):
            data += portion
    except OSError:
        pass
    return data


def _ask(folder: str, engine: str, request: bytes) -> bytes:
    for left in reversed(range(_TRIES)):
        try:
            sock = zygote_socket.dial(folder, _ANSWER_SECONDS)
            return zygote_socket.ask(sock, zygote_socket.START + request)
        except zygote_socket.ZygoteGone:
            if left:  # another one would clear the log that tells why
                _start_zygote(folder, engine)
    raise StartFailed(f"the zygote ends as soon as it is started: {_last_line(f'{folder}/log')}")


def _last_line(path: str) -> str:
    try:
        with open(path, "rb") as log:
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError as error:
        return str(error)
    return next((line for line in reversed(lines) if line.strip()), f"nothing in {path}")


def _start_zygote(folder: str, engine: str) -> None:
    """Start a zygote unless somebody else just did: its socket listens when this returns."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            zygote_socket.dial(folder, _ANSWER_SECONDS).close()
        except zygote_socket.ZygoteGone:
            listener = zygote_socket.listen(folder)
            _run_detached(lambda: _exec_zygote(listener.fileno(), folder, engine))
            listener.close()
    finally:
        os.close(lock)


def _run_detached(action: Callable[[], None]) -> None:
    """Run `action` in a grandchild: nobody's session, nobody's child but init's."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if not os.fork():
            action()
    finally:
        os._exit(70)


def _exec_zygote(listener: int, folder: str, engine: str) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for fd, source in enumerate((null, null, log)):
        os.dup2(source, fd)
    os.dup2(listener, 3)
    os.set_inheritable(3, True)  # dup2 leaves it as it is if it was 3 already
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from wasmimg_shim.zygote import main; main(*sys.argv[1:])"
    )
    kept = {key: os.environb[key] for key in _ZYGOTE_KEEPS if key in os.environb}
    kept.update((k, v) for k, v in os.environb.items() if k.startswith(b"WASMIMG_ZYGOTE"))
    os.chdir("/")
    os.execve(  # noqa: S606  # a fixed argument list
        sys.executable, [sys.executable, "-ISE", "-c", code, folder, engine], kept
    )


def _without_zygote(request: bytes, engine: str) -> bytes:
    """Become the zygote for one shim: all imports are paid now."""
    read_end, write_end = os.pipe()
    caller = os.getpid()

    def serve() -> None:
        from wasmimg_shim.engine import load_engine
        from wasmimg_shim.process import serve_start

        os.close(read_end)
        serve_start(request, caller, write_end, load_engine(engine))

    _run_detached(serve)
    os.close(write_end)
    answer = b""
    while portion := os.read(read_end, _PORTION):
        answer += portion
    os.close(read_end)
    return answer or zygote_socket.FAILED + b"the shim ended before it was ready"
