"""The command line of a shim, in the style of Go's flag package (runtime-v2 README, "Commands").

argparse would take longer to import than the start verb may take to run.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = ("start", "delete")
_TEXTS = (
    "namespace",
    "address",
    "publish-binary",
    "id",
    "bundle",
    "socket",
    "debug-socket",
)
_SWITCHES = ("debug", "v", "version", "info", "h", "help")
_FALSE = ("0", "f", "F", "false", "False", "FALSE")


class UsageError(Exception):
    """The arguments are not those of a shim."""


class Flags:
    """What the command line says; texts that were not given are empty."""

    def __init__(self) -> None:
        self.namespace = ""
        self.address = ""
        self.publish_binary = ""
        self.id = ""
        self.bundle = ""
        self.debug = False
        self.version = False
        self.info = False
        self.help = False
        self.verb = ""


def parse(arguments: Sequence[str]) -> Flags:
    """Read `-flag value`, `-flag=value`, `--flag…` and a verb; raises UsageError."""
    flags = Flags()
    rest = list(reversed(arguments))
    while rest:
        word = rest.pop()
        if not word.startswith("-") or word == "-":
            _take_verb(flags, word, rest)
            break
        name, given, value = word.removeprefix("-").removeprefix("-").partition("=")
        if name in _SWITCHES:
            long = {"v": "version", "h": "help"}.get(name, name)
            setattr(flags, long, not (given and value in _FALSE))
        elif name in _TEXTS:
            if not given:
                if not rest:
                    raise UsageError(f"flag needs an argument: -{name}")
                value = rest.pop()
            setattr(flags, name.replace("-", "_"), value)
        else:
            raise UsageError(f"flag provided but not defined: -{name}")
    return flags


def _take_verb(flags: Flags, word: str, rest: list[str]) -> None:
    if word not in VERBS:
        raise UsageError(f"unknown command {word!r}: one of start, delete, -info, -v")
    if rest:
        raise UsageError(f"unexpected argument {rest[-1]!r} after {word!r}")
    flags.verb = word
