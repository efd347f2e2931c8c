"""The program `containerd-shim-wasmimg-v1`: what its verbs and flags do.

Each verb imports what it needs when it runs: this module is on the start path.
"""

from __future__ import annotations

import os
import sys

from wasmimg_shim import RELEASE
from wasmimg_shim.flags import UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.flags import Flags

_USAGE = (
    "usage: containerd-shim-wasmimg-v1 -namespace NS -id ID [-address SOCKET] [-bundle DIR]"
    " [-debug] start|delete\n       containerd-shim-wasmimg-v1 -info | -v\n"
    "This is a runtime for containerd; `wasmimg run` starts it by itself.\n"
)


def main() -> int:
    """Run the shim's command line and return the exit status.

    containerd reads standard output and standard error as one: on success nothing but the answer
    may be written to either.
    """
    try:
        return _run(parse(sys.argv[1:]))
    except UsageError as error:
        os.write(2, f"{error}\n{_USAGE}".encode())
        return 2


def _run(flags: Flags) -> int:
    if flags.version:
        os.write(1, f"containerd-shim-wasmimg-v1:\n  Version:  {RELEASE}\n".encode())
        return 0
    if flags.help:
        os.write(1, _USAGE.encode())
        return 0
    if flags.info:
        from wasmimg_shim.info import runtime_info

        os.write(1, runtime_info())
        return 0
    if not flags.verb or not flags.id or not flags.namespace:
        raise UsageError("-namespace, -id and a command are needed")
    if flags.verb == "delete":
        from wasmimg_shim.delete import delete

        os.write(1, delete(flags))
        return 0
    return _start(flags)


def _start(flags: Flags) -> int:
    from wasmimg_shim.start import StartFailed, start

    try:
        answer = start(flags, sys.argv[0])
    except StartFailed as error:
        os.write(2, f"{error}\n".encode())
        return 1
    os.write(1, answer)
    return 0
