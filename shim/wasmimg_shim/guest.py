"""What a guest is given, and the program that runs one as a container's first process."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_images.errors import CannotInvoke, InvalidInput, WasmimgError
from wasmimg_shim.engine import STACK_BYTES

if TYPE_CHECKING:
    from wasmimg_shim.engine import Engine, Instance

__all__ = ["Guest", "Preopen", "WasmProgram"]

#: raised in the kernel for what the guest's own thread does: blocked, they would kill the process
SYNCHRONOUS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGSYS,
}
#: do nothing to a process that does not ask for them, or cannot stop the first process
HARMLESS = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGPIPE,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
GRACEFUL = {signal.SIGTERM, signal.SIGINT}
#: the worker tells the main thread its end by this one
FINISHED = signal.SIGRTMAX
DRAIN_SECONDS = 10.0
DRAIN_LOOKS = 0.05
CALM_LOOKS = 2


class Preopen(NamedTuple):
    """A folder the guest may use, and everything below it on the same mount.

    `guest_path` is what the guest calls it; `path` is the host's, opened when the guest starts
    (so, in a sandbox, after pivot_root).
    """

    guest_path: str
    path: str
    writable: bool = True


class Guest(NamedTuple):
    """Arguments, environment (`NAME=value`) and folders of one run of a module.

    `function` names an export to call in place of `_start`; `cwd` reaches the guest as PWD
    (preview 1 has no working folder).
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    function: str | None = None
    preopens: tuple[Preopen, ...] = ()


class WasmProgram:
    """Runs one guest: it in a worker thread, signals in the main thread.

    Satisfies the sandbox's Program. After `run` the process must end by `os._exit`: the worker may
    still be in the guest's code.
    """

    def __init__(self, engine: Engine, code_fd: int, guest: Guest) -> None:
        self._engine = engine
        self._code_fd = code_fd
        self._guest = guest
        self._instance: Instance | None = None

    def load(self) -> None:
        """Map the code and bind the imports (CannotInvoke names what is missing)."""
        try:
            self._instance = self._engine.load(self._code_fd, self._guest)
        except InvalidInput as error:
            word = self._guest.args[0] if self._guest.args else "the module"
            raise CannotInvoke(
                f'exec: "{word}": exec format error: {error.message}', hint=error.hint
            ) from error

    def run(self) -> int:
        """Run the guest to its end or to a signal that ends it; returns the exit status."""
        instance = self._instance
        if instance is None:
            raise RuntimeError("load() comes before run()")
        awaited = (
            {int(n) for n in signal.valid_signals()}
            - SYNCHRONOUS
            - {signal.SIGKILL, signal.SIGSTOP}
        )
        # Blocked, a signal reaches even a pid namespace's first process, which ignores the
        # default actions (pid_namespaces(7)); the worker inherits the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        worker = _Worker(instance)
        worker.start()
        while True:
            number = signal.sigwaitinfo(awaited).si_signo
            if worker.status is not None:
                return worker.status
            if instance.signal(number) or number in HARMLESS:
                continue
            if number not in GRACEFUL:
                return 128 + number
            return _drain(instance, worker, awaited, 128 + number)


class _Worker:
    """The thread that runs the guest; `status` is set when it has ended."""

    def __init__(self, instance: Instance) -> None:
        self.status: int | None = None
        self._instance = instance
        self._main = threading.get_ident()

    def start(self) -> None:
        threading.stack_size(STACK_BYTES)
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self.status = self._instance.run()
        except WasmimgError as error:
            os.write(2, f"wasmimg: {error.message}\n".encode())
            self.status = error.exit_code
        finally:
            if self.status is None:  # a fault of ours; the traceback follows
                self.status = 70
            signal.pthread_kill(self._main, FINISHED)


def _drain(instance: Instance, worker: _Worker, awaited: set[int], status: int) -> int:
    """Give open connections time to be answered; a further signal ends it at once.

    Twice in a row nothing may be owed: between two looks the guest may just be reading.
    """
    instance.stop_listening()
    calm = 0
    deadline = time.monotonic() + DRAIN_SECONDS
    while calm < CALM_LOOKS and time.monotonic() < deadline:
        found = signal.sigtimedwait(awaited, DRAIN_LOOKS)
        if worker.status is not None or (found and found.si_signo not in HARMLESS):
            break
        calm = 0 if instance.owes_answers() else calm + 1
    return status
