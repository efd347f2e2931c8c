"""One probe of a container's health, under way: waited for by its descriptor, never blocking.

`wasmimg-probe http|tcp …` is built in: a child of the supervisor asks from inside the container's
network namespace, so an image without a shell or a single Linux program can have a health check.
Anything else is a program of a Linux container, run in it by its shim.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from wasmimg_compose import kernel
from wasmimg_images.errors import InvalidInput
from wasmimg_shim import client

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_compose.container import Healthcheck

BUILT_IN: Final = "wasmimg-probe"
SHELL: Final = ("/bin/sh", "-c")


class Probe(Protocol):
    """A probe under way."""

    def fileno(self) -> int:
        """Give the descriptor that turns readable once the answer is there."""
        ...

    def passed(self) -> bool:
        """Tell the answer, and end the probe."""
        ...

    def abandon(self) -> None:
        """End the probe without an answer."""
        ...


def command(check: Healthcheck) -> list[str]:
    """Read the words to run; the built-in probe in CMD-SHELL form needs no shell. InvalidInput."""
    match check.test:
        case ("CMD", *words) if words:
            return words
        case ("CMD-SHELL", line):
            return _built_in(line) if line.split(None, 1)[:1] == [BUILT_IN] else [*SHELL, line]
        case _:
            raise InvalidInput(
                f"health check {' '.join(check.test)!r}: CMD or CMD-SHELL is missing"
            )


def _built_in(line: str) -> list[str]:
    """Split a line into words, which for any other program is the shell's to do."""
    import shlex

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidInput(f"health check {line!r}: can't be split into words: {error}") from None
    # `|| exit 1` is how Compose files end such lines by habit, and changes nothing here.
    return words[:-3] if words[-3:] == ["||", "exit", "1"] else words


class BuiltInProbe:
    """`wasmimg-probe http URL` or `wasmimg-probe tcp [HOST:]PORT`, in a child process."""

    def __init__(self, words: list[str], namespace: Path | None, timeout: float) -> None:
        self._child = os.fork()
        if self._child == 0:
            _ask(words, namespace, timeout)
        self._handle = os.pidfd_open(self._child)

    def fileno(self) -> int:
        """Give the child's pidfd."""
        return self._handle

    def passed(self) -> bool:
        """Tell whether the child ended with 0."""
        return self._reap() == 0

    def abandon(self) -> None:
        """Kill the child."""
        os.kill(self._child, signal.SIGKILL)
        self._reap()

    def _reap(self) -> int:
        os.close(self._handle)
        return os.waitpid(self._child, 0)[1]


def _ask(words: list[str], namespace: Path | None, timeout: float) -> NoReturn:
    status = 1
    with contextlib.suppress(BaseException), kernel.in_network(namespace):
        from wasmimg_compose.asking import answers

        status = 0 if answers(words[1:], timeout) else 1
    os._exit(status)


class ExecProbe:
    """A program run inside a Linux container by its shim."""

    def __init__(self, address: str, container: str, process: dict[str, object], name: str) -> None:
        self._address, self._container, self._name = address, container, name
        with contextlib.closing(client.connect(address)) as task:
            task.exec(container, name, json.dumps(process).encode())
            try:
                self._wait = client.PendingWait(address, container, name)
                task.start(container, name)
            except BaseException:
                with contextlib.suppress(client.RpcError):
                    task.delete(container, name)
                raise

    def fileno(self) -> int:
        """Give the descriptor of the Wait that is under way."""
        return self._wait.fileno()

    def passed(self) -> bool:
        """Tell whether the program ended with 0."""
        try:
            status = self._wait.result(0).status
        except (client.RpcError, client.ShimGone, TimeoutError):
            status = 1
        self._forget()
        return status == 0

    def abandon(self) -> None:
        """Kill the program."""
        with contextlib.suppress(client.RpcError, client.ShimGone, TimeoutError):
            with contextlib.closing(client.connect(self._address)) as task:
                task.kill(self._container, signal.SIGKILL, exec_id=self._name)
            self._wait.result(1)
        self._forget()

    def _forget(self) -> None:
        self._wait.close()
        with (
            contextlib.suppress(client.RpcError, client.ShimGone, TimeoutError),
            contextlib.closing(client.connect(self._address)) as task,
        ):
            task.delete(self._container, self._name)
