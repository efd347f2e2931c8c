"""Named volumes: folders that outlive containers, filled from the image at their first use."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import command, kernel
from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from pathlib import Path

    from wasmimg_images.home import Home

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


def check_name(name: str) -> str:
    """Give a volume's name back; InvalidInput for what is none."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:40]!r}{'…' if name[40:] else ''} is no name for a volume",
            hint="letters, digits, _ . and -, at most 128, a letter or digit first",
        )
    return name


class Volumes(NamedTuple):
    """The volumes of a home."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> Volumes:
        """Take the home's volumes."""
        return cls(home.volumes)

    def path(self, name: str) -> Path:
        """Where a volume's files are."""
        return self.root / name / "_data"

    def ensure(self, name: str) -> bool:
        """Make a volume unless it is there; True if it is new. InvalidInput for a bad name.

        Its files appear at its first use by a container (fill).
        """
        check_name(name)
        make_private(self.root)
        try:
            (self.root / name).mkdir()
        except FileExistsError:
            return False
        return True

    def fill(self, name: str, rootfs: Path, target: str | None) -> None:
        """Make a volume with the image's content at `target`, owners and rights included.

        Without a target it is empty.
        The volume appears whole or not at all. One that is there is left as it is.
        """
        make_private(self.root)
        if self.path(name).is_dir():
            return
        self.ensure(name)
        draft = self.root / name / f".draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            if target is not None:
                _copy(rootfs, target, draft)
            draft.rename(self.path(name))
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def remove(self, name: str) -> bool:
        """Delete a volume and its files; False if there is none."""
        if not NAME.fullmatch(name) or not (self.root / name).is_dir():
            return False
        shutil.rmtree(self.root / name)
        return True

    def all(self) -> list[str]:
        """Every volume, by name."""
        return sorted(path.name for path in self.root.glob("*"))


def _copy(rootfs: Path, target: str, draft: Path) -> None:
    try:
        source = kernel.open_below(rootfs, target, os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        # cp(1) knows every kind of file, attribute and hole; the descriptor names the folder
        # without a second look at the image's links.
        origin = f"/proc/{os.getpid()}/fd/{source}/."
        finished = command.run(("cp", "-a", origin, str(draft)))
        if finished.status:
            raise HostError(f"volume: {finished.output.strip().splitlines()[0]}")
    finally:
        os.close(source)
