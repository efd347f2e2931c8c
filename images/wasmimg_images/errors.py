"""The errors that callers tell apart, each with the exit code that the command line gives for it.

A message is one line: what is wrong and where; `hint` says what to do about it.
The codes are part of the interface (docs/exit-codes.md).
"""

from __future__ import annotations


class WasmimgError(Exception):
    """Anything wasmimg reports to its user in one line."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(WasmimgError):
    """A file, a reference, a module or a value given by the user or a peer is malformed."""

    exit_code = 3


class NotFound(WasmimgError):
    """No such image, container, blob or file."""

    exit_code = 4


class RegistryError(WasmimgError):
    """A registry refused, failed or could not be reached."""

    exit_code = 5


class DigestMismatch(WasmimgError):
    """Content is not what its digest or size says."""

    exit_code = 6


class HostError(WasmimgError):
    """This machine lacks what the command needs: a right, a tool, a kernel feature, space, a port."""

    exit_code = 7


class BuildFailed(WasmimgError):
    """The compiler or a build step failed."""

    exit_code = 8


class RunError(WasmimgError):
    """A container could not be run (as Docker: 125)."""

    exit_code = 125


class CannotInvoke(RunError):
    """The entrypoint exists and can't be run (as Docker: 126)."""

    exit_code = 126


class CommandNotFound(RunError):
    """The image has no such entrypoint (as Docker: 127)."""

    exit_code = 127
