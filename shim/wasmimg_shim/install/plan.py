"""A plan: what will be done, what the user should know, and what they must agree to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from wasmimg_shim.install.operations import Operation

#: Docker is told of our runtimes by daemon.json from here on; before, only dotted names work.
RUNTIME_TYPE_SINCE: Final = 24
#: The first Docker that calls shims by `io.containerd.NAME.v1`.
SHIMS_SINCE: Final = 23
#: From here on the containerd image store is Docker's own choice on new machines.
SNAPSHOTTER_DEFAULT_SINCE: Final = 29


class Plan(NamedTuple):
    """Operations in their order; `asks` must be agreed to before any of them is run."""

    operations: tuple[Operation, ...]
    notes: tuple[str, ...] = ()
    asks: str | None = None


class Files(Protocol):
    """What a plan has to know about the files of the machine."""

    def read(self, path: str) -> bytes | None:
        """Read a file, None if there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at a path."""
        ...

    def mode(self, path: str, default: int) -> int:
        """Return the permissions of a file, or the default if there is none."""
        ...

    def missing_folders(self, path: str) -> list[str]:
        """List the folders above a file that are not there, the outermost first."""
        ...
