"""The shim of one container: started as containerd starts it, then spoken to over ttrpc.

There is one way to run a container, and two callers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import command
from wasmimg_images.errors import CannotInvoke, CommandNotFound, RunError
from wasmimg_shim import client, launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from wasmimg_images.home import Home

NAMESPACE: Final = "wasmimg"
#: containerd's; ours has no daemon behind it and only names the sockets.
ADDRESS: Final = "wasmimg"


class Shims(NamedTuple):
    """How shims are started for a home."""

    home: Home

    @property
    def _launcher(self) -> Path:
        return self.home.run / "containerd-shim-wasmimg-v1"

    @contextlib.contextmanager
    def starting(self, container: str, bundle: Path) -> Generator[Callable[[], str]]:
        """Start the container's shim, the bundle its working directory, beside the block.

        What the block gets waits for it and gives its address; RunError if it did not start.
        """
        self._write_launcher()
        running = self._begin(container, bundle, "start")
        waited = False

        def address() -> str:
            nonlocal waited
            waited = True
            finished = running.wait()
            if finished.status:
                raise RunError(f"the shim did not start: {_last_line(finished.output)}")
            return finished.output.strip()

        try:
            yield address
        finally:
            if not waited:
                running.wait()

    def delete(self, container: str, bundle: Path) -> None:
        """Clean up after a shim that is gone: its init, its cgroup, its mounts (the delete verb)."""
        self._write_launcher()
        finished = self._begin(container, bundle, "delete").wait()
        if finished.status:
            raise RunError(f"shim delete: {_last_line(finished.output)}")

    def _begin(self, container: str, bundle: Path, verb: str) -> command.Running:
        # A verb that outlives its killed caller would bring up a shim after the clean-up.
        return command.begin(
            (
                "setpriv",
                "--pdeathsig=KILL",
                "env",
                f"--chdir={bundle}",
                str(self._launcher),
                "-namespace",
                NAMESPACE,
                "-id",
                container,
                "-address",
                ADDRESS,
                "-bundle",
                str(bundle),
                verb,
            ),
            environment={
                **os.environ,
                "WASMIMG_RUN": str(self.home.run),
                "WASMIMG_CACHE": str(self.home.cache),
                "WASMIMG_HOME": str(self.home.data),
            },
        )

    def _write_launcher(self) -> None:
        text = launcher.text(sys.executable, launcher.own_paths())
        path = self._launcher
        with contextlib.suppress(FileNotFoundError):
            if path.read_text() == text:
                return
        self.home.run.mkdir(parents=True, exist_ok=True)
        launcher.write(str(path), text)


@contextlib.contextmanager
def task(address: str) -> Generator[client.TaskClient]:
    """Speak to a shim; its refusals become RunError, a missing entrypoint CommandNotFound."""
    with contextlib.closing(client.connect(address)) as connection:
        try:
            yield connection
        except client.RpcError as error:
            raise refusal(error) from error


def refusal(error: client.RpcError) -> RunError:
    """Say what a shim's refusal means to the user, in the words that Docker goes by as well."""
    text = str(error)
    if "exec: " not in text and "executable file" not in text:
        return RunError(text)
    if "no such file or directory" in text or "executable file not found" in text:
        return CommandNotFound(text)
    return CannotInvoke(text)


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
