"""containerd through its own command, `ctr`: its gRPC API would need a package for five calls."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: seconds
TIMEOUT: Final = 60.0


class Ran(NamedTuple):
    """How `ctr` ended; status None if it was ended for taking too long."""

    status: int | None
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The line that tells why it failed: ctr's own, else the last one."""
        lines = [line.strip() for line in (self.out + "\n" + self.err).splitlines()]
        own = [line.removeprefix("ctr: ") for line in lines if line.startswith("ctr: ")]
        return next(iter([*own, *reversed([line for line in lines if line])]), "it said nothing")


class Ctr(NamedTuple):
    """The containerd at an address, in one of its namespaces."""

    address: str
    namespace: str = "default"

    def run(self, *arguments: str, stdin: bytes = b"", timeout: float = TIMEOUT) -> Ran:
        """Run one command; raises HostError if there is no `ctr`."""
        if shutil.which("ctr") is None:
            raise HostError("ctr is not installed", hint="it comes with containerd")
        line = ["ctr", "--address", self.address, "--namespace", self.namespace, *arguments]
        try:
            done = subprocess.run(
                line,
                capture_output=True,
                timeout=timeout,
                check=False,
                input=stdin,
            )
        except subprocess.TimeoutExpired:
            return Ran(None, "", f"ctr {' '.join(arguments)} took longer than {timeout:.0f} s")
        return Ran(
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def need(self, *arguments: str, stdin: bytes = b"", timeout: float = TIMEOUT) -> str:
        """Run one command that has to work and return its output; raises HostError."""
        ran = self.run(*arguments, stdin=stdin, timeout=timeout)
        if ran.status != 0:
            raise HostError(f"containerd: {ran.reason}")
        return ran.out

    def lines(self, *arguments: str) -> list[str]:
        """Run a command that lists, one item a line."""
        return self.need(*arguments).splitlines()


def column(lines: Sequence[str], number: int) -> list[str]:
    """Return one column of a table without its heading."""
    rows = [line.split() for line in lines[1:]]
    return [row[number] for row in rows if len(row) > number]
