"""A shim process, from its fork to its end: it answers the start verb, then serves containers."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from wasmimg_images.errors import WasmimgError
from wasmimg_shim import bootstrap, caller, shim_socket, start, zygote_socket
from wasmimg_shim.children import Children
from wasmimg_shim.codecache import CodeCache
from wasmimg_shim.events import Publisher
from wasmimg_shim.linux import libc
from wasmimg_shim.logger import Loggers
from wasmimg_shim.loop import Loop, sleep
from wasmimg_shim.server import Server
from wasmimg_shim.service import TaskService
from wasmimg_shim.shim_log import ShimLog
from wasmimg_shim.start_request import StartRequest
from wasmimg_shim.task_maker import TaskMaker

if TYPE_CHECKING:
    from wasmimg_shim.bootstrap import BootstrapParams
    from wasmimg_shim.engine import Engine
    from wasmimg_shim.loop import Job
    from wasmimg_shim.shim_socket import ShimAddress
    from wasmimg_shim.task_maker import Modules

#: How long a shim lives that nobody is connected to and that never had a container, or has none.
LONELY_SECONDS = 10.0
#: How long to wait before looking again whether those who are about to call have.
_COMING_SECONDS = 0.02
#: <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36


def serve_start(data: bytes, caller_pid: int, answer_fd: int, engine: Engine) -> NoReturn:
    """Answer one start verb and, if its socket is ours, be the shim behind it.

    Runs in a process of its own with one thread, and ends it. `answer_fd` goes to the start verb,
    which waits for it to be closed.
    """
    status = 1
    try:
        request = StartRequest.decode(data)
        caller.adopt(caller_pid, request.environment)
        params = bootstrap.parse(request.stdin, request.id, request.namespace)
        try:
            address = _claim(request, params)
        except (OSError, WasmimgError) as error:
            os.write(answer_fd, zygote_socket.FAILED + f"can't make the socket: {error}".encode())
        else:
            answer = bootstrap.answer(params, address.uri)
            status = _answer_and_serve(request, address, answer, answer_fd, engine)
    except BaseException:  # noqa: BLE001  # this process ends here; its last words go to the log
        traceback.print_exc()
    finally:
        os._exit(status)


def _answer_and_serve(
    request: StartRequest, address: ShimAddress, answer: bytes, answer_fd: int, engine: Engine
) -> int:
    with suppress(OSError):
        _write_address(address.uri)
    if not _told(answer, answer_fd):
        if address.listener is not None:  # nobody will come
            os.unlink(address.path)
        return 0
    os.close(answer_fd)
    if address.listener is None:
        return 0
    _leave_terminal()
    grouped = _configured_group(request) == shim_socket.BY_NAMESPACE
    with suppress(PermissionError):  # without a zygote it leads its session already
        os.setsid()
    shim = ShimProcess(request, address.path, address.listener, engine)
    if grouped:  # the bundle that it began in may be the first to go
        os.chdir("/")
    shim.run()
    return 0


def _told(answer: bytes, answer_fd: int) -> bool:
    """Answer the caller; False if it was killed, and perhaps cleaned up after, in the meantime."""
    if os.stat(".").st_nlink == 0:
        return False
    try:
        os.write(answer_fd, zygote_socket.OK + answer)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _claim(request: StartRequest, params: BootstrapParams) -> ShimAddress:
    try:
        with open("config.json", "rb") as config:
            group = shim_socket.group(request.id, config.read(), _configured_group(request))
    except OSError:
        group = request.id
    directory = f"{start.run_dir(request.environment)}/s"
    if params.socket_dir:
        directory = params.socket_dir
    elif _containerd(request):
        directory = shim_socket.CONTAINERD_DIR
    return shim_socket.claim(shim_socket.path(directory, request.address, request.namespace, group))


def _configured_group(request: StartRequest) -> str:
    return os.fsdecode(request.environment.get(b"WASMIMG_SHIM_GROUP", b""))


def _containerd(request: StartRequest) -> str:
    """Return the path of the caller's own socket, if it has one: it is a containerd then.

    Others may call themselves anything.
    """
    path = request.address.removeprefix("unix://")
    return path if path.startswith("/") else ""


def _modules(request: StartRequest) -> Modules | None:
    socket_path, namespace = _containerd(request), request.namespace

    async def module(container: str, word: str) -> int | None:
        # Only now: few images need it, and HTTP/2 is much to import.
        from wasmimg_shim import containerd_images

        return await containerd_images.module(socket_path, namespace, container, word)

    return module if socket_path else None


def _write_address(uri: str) -> None:
    """Leave the address in the bundle, where containerd 1.6 and 1.7 look after a restart."""
    if os.path.exists("config.json"):
        temporary = f".address.{os.getpid()}"
        with open(temporary, "w") as file:
            file.write(uri)
        os.rename(temporary, "address")


def _leave_terminal() -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)


class ShimProcess:
    """The parts of a shim, put together."""

    def __init__(
        self, request: StartRequest, path: str, listener: socket.socket, engine: Engine
    ) -> None:
        environment = request.environment
        self._path = path
        self._listener = listener
        self._log = ShimLog(os.getcwd(), debug=request.debug)
        self._loop = Loop(self._failed)
        children = Children(self._loop)
        params = bootstrap.parse(request.stdin, request.id, request.namespace)
        events_address = os.environ.get("TTRPC_ADDRESS") or params.containerd_ttrpc_address
        self._events = Publisher(self._loop, events_address, request.namespace, self._log)
        maker = TaskMaker(
            loop=self._loop,
            children=children,
            engine=engine,
            cache=CodeCache(_code_dir(environment)),
            runc_root=f"{start.run_dir(environment)}/runc/{request.namespace}",
            log=self._log,
            loggers=Loggers(self._loop, children, self._log, request.namespace),
            modules=_modules(request),
        )
        self._service = TaskService(self._loop, maker, self._events)
        self._server = Server(self._loop, listener, self._service, self._log)

    def run(self) -> None:
        """Serve until Shutdown, or until nobody needs this shim."""
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        with suppress(OSError), open("/proc/self/comm", "w") as comm:
            comm.write("wasmimg-shim")
        # A shim outlives the service manager's SIGTERM, as its containers do.
        self._loop.on_signal(signal.SIGTERM, self._log_signal)
        self._loop.on_signal(signal.SIGINT, self._log_signal)
        accepting = self._loop.spawn(self._server.accept())
        self._loop.spawn(self._end_when_wanted(accepting))
        self._loop.spawn(self._end_when_lonely())
        self._loop.run()
        self._loop.close()
        self._log.close()

    async def _end_when_wanted(self, accepting: Job[None]) -> None:
        while not self._service.closed:
            await self._service.end_wanted.wait()
            if self._service.busy:
                self._service.end_wanted.clear()
            elif self._server.expects() or not shim_socket.give_up(self._path, self._listener):
                await sleep(_COMING_SECONDS)
            else:
                self._service.closed = True
        accepting.cancel()
        self._listener.close()
        await self._server.drain()
        await self._events.flush()
        self._loop.stop()

    async def _end_when_lonely(self) -> None:
        """End if nobody connects: the caller died between start and Create."""
        while True:
            await sleep(LONELY_SECONDS)
            if not self._service.busy and not self._server.connections:
                self._service.end_wanted.set()

    def _log_signal(self) -> None:
        self._log.debug("signal ignored: a shim ends with its containers")

    def _failed(self, error: Exception) -> None:
        self._log.error("internal error", error="".join(traceback.format_exception(error)))


def _code_dir(environment: dict[bytes, bytes]) -> str:
    """Return where compiled code is kept: as wasmimg_images.home says."""
    from wasmimg_images.home import Home

    texts = {os.fsdecode(key): os.fsdecode(value) for key, value in environment.items()}
    return str(Home.from_environ(texts).code)
