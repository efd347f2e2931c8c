"""`wasmimg install` and `uninstall` into a root, killed before each of their effects on files.

A child process does the real thing and kills itself (SIGKILL) at the chosen system call.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wasmimg_testing.install import DAEMON_JSON, LAUNCHERS, USERS, make_root, tree
from wasmimg_testing.mortal import KILLED, command

pytestmark = pytest.mark.slow
FOREIGN = b"\x7fELF another shim"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A machine before and after a whole installation, which replaces another shim."""
    folder = tmp_path_factory.mktemp("machines")
    before = make_root(folder / "before")
    (before / LAUNCHERS[2]).write_bytes(FOREIGN)
    after = folder / "after"
    shutil.copytree(before, after, symlinks=True)
    assert command("install", after, "--force") == 0
    return before, after


def each_kill(source: Path, folder: Path, verb: str, *words: str) -> list[Path]:
    """Copy a machine and kill a command on it, at its first effect, its second …"""
    killed: list[Path] = []
    for number in range(500):
        machine = folder / str(number)
        shutil.copytree(source, machine, symlinks=True)
        status = command(verb, machine, *words, die_at=number)
        if status == 0:
            shutil.rmtree(machine)
            return killed
        assert status == KILLED
        killed.append(machine)
    raise AssertionError("it never ends")


def plain(found: dict[str, tuple[int, bytes]]) -> dict[str, tuple[int, bytes]]:
    """Forget the record: how often it was written is no matter."""
    return {path: what for path, what in found.items() if "var/lib/wasmimg" not in path}


def test_a_killed_install_is_completed_by_the_next(
    machines: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = machines
    killed = each_kill(before, tmp_path, "install", "--force")
    assert len(killed) > 30
    for machine in killed:
        assert command("install", machine, "--force") == 0
        assert plain(tree(machine)) == plain(tree(after))
        assert command("uninstall", machine) == 0
        assert tree(machine) == tree(before)


def test_a_killed_install_is_undone_by_uninstall(
    machines: tuple[Path, Path], tmp_path: Path
) -> None:
    before, _ = machines
    for machine in each_kill(before, tmp_path, "install", "--force"):
        assert (machine / DAEMON_JSON).read_bytes().startswith(USERS[:20])
        assert command("uninstall", machine) == 0
        assert tree(machine) == tree(before)


def test_a_killed_uninstall_is_completed_by_the_next(
    machines: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = machines
    killed = each_kill(after, tmp_path, "uninstall")
    assert len(killed) > 8
    for machine in killed:
        assert command("uninstall", machine) == 0
        assert tree(machine) == tree(before)


def test_a_killed_uninstall_is_taken_back_by_install(
    machines: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = machines
    for machine in each_kill(after, tmp_path, "uninstall"):
        assert command("install", machine, "--force") == 0
        assert plain(tree(machine)) == plain(tree(after))
        assert command("uninstall", machine) == 0
        assert tree(machine) == tree(before)
