"""Running a plan's operations, one after the other. Each may be repeated after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim import zygote_socket
from wasmimg_shim.install import operations as op
from wasmimg_shim.install import proof
from wasmimg_shim.install.docker_api import DockerApi, DockerError
from wasmimg_shim.install.rooted import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from wasmimg_shim.install.record import Record
    from wasmimg_shim.install.rooted import Root

#: seconds
_RELOAD_TIMEOUT: Final = 15.0
_RESTART_TIMEOUT: Final = 120.0
_POLL: Final = 0.05


@contextlib.contextmanager
def locked(root: Root, folder: str) -> Generator[None]:
    """Keep other installs and uninstalls out; the folder is made, and goes again if it is empty."""
    root.make_folder(folder)
    fd = os.open(root.outside(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = os.path.samestat(os.fstat(fd), os.stat(root.outside(folder)))
        except (BlockingIOError, FileNotFoundError):
            alone = False
        if not alone:
            raise HostError("another install or uninstall is at work", hint="wait until it is done")
        try:
            yield
        finally:
            root.remove_folder(folder)
    finally:
        os.close(fd)


def sweep(root: Root, record: Record, record_path: str) -> None:
    """Remove half-written files of an installation that was killed."""
    root.sweep(record_path)
    for entry in record.entries:
        root.sweep(entry.path)
        if entry.backup is not None:
            root.sweep(entry.backup)


def run(operation: op.Operation, root: Root) -> None:
    """Do one operation; raises HostError, OSError."""
    match operation:
        case op.MakeFolder(path):
            root.make_folder(path)
        case op.BackUp(path, backup, over):
            _check_unchanged(root, path, over)
            root.back_up(path, backup)
        case op.WriteFile(path, content, mode, _, over):
            _check_unchanged(root, path, over)
            root.write(path, content, mode)
        case op.Restore(path, backup, over):
            _check_unchanged(root, path, over)
            root.rename(backup, path)
        case op.RemoveFile(path, over):
            _check_unchanged(root, path, over)
            root.remove(path)
        case op.RemoveFolder(path):
            root.remove_folder(path)
        case _:
            _run_outside(operation)


def _check_unchanged(root: Root, path: str, over: str | None) -> None:
    """Raise HostError where somebody has edited a file since the plan was made."""
    if over == op.ANYTHING:
        return
    current = root.read(path)
    if over != (None if current is None else digest(current)):
        raise HostError(f"{path} is being changed by somebody else", hint="try again")


def _run_outside(operation: op.Operation) -> None:
    """Do what does not change files."""
    match operation:
        case op.CheckDaemonJson(program, path, content):
            _check(program, path, content)
        case op.ReloadDocker():
            _reload(operation)
        case op.RestartDocker(socket):
            _restart(socket)
        case op.ProveDocker(socket, runtimes):
            proof.prove_docker(socket, runtimes)
        case op.ProveContainerd(address, runtime):
            proof.prove_containerd(address, runtime)
        case op.SweepDocker(socket):
            proof.sweep_docker(DockerApi(socket))
        case op.SweepContainerd(address):
            proof.sweep_containerd(address)
        case op.EndZygotes(run_dir):
            with contextlib.suppress(OSError):  # they end by themselves, if later
                for folder in zygote_socket.sockets(run_dir):
                    zygote_socket.release(folder)
        case _:
            raise TypeError(operation)


def _check(program: str, path: str, content: bytes) -> None:
    """Raise InvalidInput with dockerd's own words for a configuration that it refuses."""
    with tempfile.NamedTemporaryFile(prefix="wasmimg-", suffix=".json") as file:
        file.write(content)
        file.flush()
        done = subprocess.run(
            [program, "--validate", "--config-file", file.name],
            capture_output=True,
            text=True,
            check=False,
            timeout=_RESTART_TIMEOUT,
        )
        said = done.stderr.strip().rpartition("\n")[2].replace(file.name, path)
    if done.returncode:
        raise InvalidInput(
            f"dockerd refuses {path}: {said}", hint="correct it; nothing was changed"
        )


def _reload(operation: op.ReloadDocker) -> None:
    os.kill(operation.pid, signal.SIGHUP)
    api = DockerApi(operation.socket)

    def took_it() -> bool:
        runtimes = frozenset(api.get("/info").need("Runtimes").fields())
        return operation.known <= runtimes and not operation.unknown & runtimes

    _until(took_it, _RELOAD_TIMEOUT, "dockerd did not take its new configuration")


def _restart(socket: str) -> None:
    done = subprocess.run(
        ["systemctl", "restart", "docker.service"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise HostError(f"systemctl restart docker: {said}", hint="journalctl -u docker says more")

    def answers() -> bool:
        with contextlib.suppress(DockerError):
            DockerApi(socket).get("/version")
            return True
        return False

    _until(answers, _RESTART_TIMEOUT, "Docker does not answer after its restart")


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise HostError(what, hint="its log says why: journalctl -u docker")
        time.sleep(_POLL)
