"""`wasmimg install` in a child process that kills itself (SIGKILL) before a chosen effect on files."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING, Any

import wasmimg.commands.install
import wasmimg.commands.uninstall  # noqa: F401 - once, and not in each child
from wasmimg.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: every call by which an installation changes a file system, or makes it last
EFFECTS = ("open", "link", "replace", "unlink", "mkdir", "rmdir", "fsync", "fchmod", "fchown")
KILLED = -signal.SIGKILL


def command(verb: str, root: Path, *words: str, die_at: int = -1) -> int:
    """Run a command in a child that dies at its n-th effect; gives its exit status."""
    child = os.fork()
    if child == 0:
        errors = os.dup(2)
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 2)
            _count_down(die_at)
            cli.main([verb, "--root", str(root), *words], standalone_mode=False)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child of the test's own must not live on
            os.dup2(errors, 2)
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _count_down(left: int) -> None:
    def mortal(call: Callable[..., Any]) -> Callable[..., Any]:
        def either(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if call is not real_open or arguments[1] & (os.O_WRONLY | os.O_CREAT):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return call(*arguments, **options)

        return either

    real_open = os.open
    if left >= 0:
        for name in EFFECTS:
            setattr(os, name, mortal(getattr(os, name)))
