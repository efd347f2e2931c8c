"""What installing and uninstalling are made of: one value for each thing that is changed."""

from __future__ import annotations

from typing import Final, NamedTuple

#: for `over`: whatever may be there
ANYTHING: Final = "anything"


class MakeFolder(NamedTuple):
    """Make a folder."""

    path: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"make the folder {self.path}"


class BackUp(NamedTuple):
    """Keep what a file holds now under another name; `over` as for WriteFile."""

    path: str
    backup: str
    over: str | None = ANYTHING

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"keep {self.path} as {self.backup}"


class WriteFile(NamedTuple):
    """Put a file in place, in one step, unless it is no longer what it was when this was planned.

    `over` is the SHA-256 of that, None if there was nothing.
    """

    path: str
    content: bytes
    mode: int
    what: str
    over: str | None = ANYTHING

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"write {self.path}: {self.what}"


class CheckDaemonJson(NamedTuple):
    """Have dockerd read a configuration before it is put in place."""

    program: str
    path: str
    content: bytes

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"check what {self.path} will be: dockerd --validate"


class Restore(NamedTuple):
    """Put a file back that was kept; `over` as for WriteFile."""

    path: str
    backup: str
    over: str | None = ANYTHING

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"put {self.path} back as it was"


class RemoveFile(NamedTuple):
    """Remove a file of ours; `over` as for WriteFile."""

    path: str
    over: str | None = ANYTHING

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"remove {self.path}"


class RemoveFolder(NamedTuple):
    """Remove a folder that we made, if it is empty."""

    path: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"remove the folder {self.path} if it is empty"


class ReloadDocker(NamedTuple):
    """Have dockerd read its configuration; done when it knows `known` and no longer `unknown`."""

    pid: int
    socket: str
    known: frozenset[str]
    unknown: frozenset[str]

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"reload Docker: SIGHUP to dockerd ({self.pid})"


class RestartDocker(NamedTuple):
    """Restart Docker by systemd; done when its API answers."""

    socket: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return "restart Docker: systemctl restart docker"


class ProveDocker(NamedTuple):
    """Run a Wasm image that is made on the spot under Docker, once by each runtime's name."""

    socket: str
    runtimes: tuple[str, ...]

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"run a Wasm image under Docker and remove it: {', '.join(self.runtimes)}"


class ProveContainerd(NamedTuple):
    """Run the same image under containerd."""

    address: str
    runtime: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return f"run a Wasm image under containerd and remove it: {self.runtime}"


class SweepDocker(NamedTuple):
    """Remove what a proof that was killed left in Docker."""

    socket: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return "remove from Docker what a killed proof left"


class SweepContainerd(NamedTuple):
    """Remove what a proof that was killed left in containerd."""

    address: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return "remove from containerd what a killed proof left"


class EndZygotes(NamedTuple):
    """Have zygotes end as soon as the containers that they started have."""

    run_dir: str

    def describe(self) -> str:
        """Say in one line what will be done."""
        return "let the shim's zygotes end with their last container"


Operation = (
    CheckDaemonJson
    | MakeFolder
    | BackUp
    | WriteFile
    | Restore
    | RemoveFile
    | RemoveFolder
    | ReloadDocker
    | RestartDocker
    | ProveDocker
    | ProveContainerd
    | SweepDocker
    | SweepContainerd
    | EndZygotes
)
