"""The process that a scope begins with, where systemd is played by the test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_shim.bundle import Bundle
from wasmimg_shim.children import Children
from wasmimg_shim.linux import libc
from wasmimg_shim.loop import Loop
from wasmimg_shim.spec import Linux, Resources, Spec
from wasmimg_shim.systemd import keeper
from wasmimg_shim.systemd.keeper import Scope
from wasmimg_testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def loop() -> Iterator[Loop]:
    def fail(error: Exception) -> None:
        raise error

    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    made = Loop(fail)
    yield made
    made.close()
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def bundle(path: str, **resources: object) -> Bundle:
    linux = Linux(cgroups_path=path, resources=Resources()._replace(**resources))  # type: ignore[arg-type]
    return Bundle("/b", "box", Spec("1.1.0", "rootfs", linux=linux), b"")


@pytest.mark.parametrize(
    ("path", "unit", "slice_", "place"),
    [
        ("system.slice:docker:abc", "docker-abc.scope", "system.slice", "/system.slice/docker-abc.scope"),
        (":docker:abc", "docker-abc.scope", "system.slice", "/system.slice/docker-abc.scope"),
        ("a-b.slice::abc", "abc.scope", "a-b.slice", "/a.slice/a-b.slice/abc.scope"),
    ],
)  # fmt: skip
def test_a_scope_is_named_by_the_path(path: str, unit: str, slice_: str, place: str) -> None:
    scope = keeper.plan(bundle(path, pids_limit=20))
    given = {one.name: one.value for one in scope.properties}
    assert (scope.unit, scope.cgroup, given["Slice"]) == (unit, place, slice_)
    assert (given["Delegate"], given["TasksMax"]) == (1, 20)
    assert given["CollectMode"] == "inactive-or-failed"


def test_limits_without_words_are_refused_before_anything_is_made() -> None:
    with pytest.raises(InvalidInput, match="no list"):
        keeper.plan(bundle(":docker:abc", cpu=Resources().cpu._replace(cpus="all")))


def test_it_is_asked_for_where_systemd_is(tmp_path: Path) -> None:
    assert keeper.asked_for("a.slice:b:c", str(tmp_path))
    assert not keeper.asked_for("a.slice:b:c", str(tmp_path / "none"))
    assert not keeper.asked_for("/a/b", str(tmp_path))


def own_scope() -> Scope:
    """Give a scope at the place where a child of this process is already."""
    (line, *_) = Path("/proc/self/cgroup").read_text().splitlines()
    return Scope("x.scope", (), line.split(":", 2)[2])


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def opened(pid: str) -> list[str]:
    return [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]


class _Willing:
    """A systemd that makes whatever is asked for; notes it, since another process asks."""

    note = ""

    @classmethod
    def connect(cls) -> _Willing:
        return cls()

    def start_transient(self, unit: str, properties: tuple[object, ...]) -> None:
        Path(self.note).write_text(f"{os.getpid()} {unit} {properties}")

    def close(self) -> None:
        pass


class _Unwilling(_Willing):
    def start_transient(self, unit: str, properties: tuple[object, ...]) -> None:
        raise HostError(f"systemd refuses {unit}")


def test_it_stays_until_it_is_let_go(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "Connection", _Willing)
    monkeypatch.setattr(_Willing, "note", str(tmp_path / "note"))

    async def check() -> None:
        kept = await keeper.begin(own_scope(), Children(loop))
        pid, unit, properties = (tmp_path / "note").read_text().split(" ", 2)
        assert (unit, f"value=[{pid}]" in properties) == ("x.scope", True), properties
        # Nothing of the shim's is open in it but the end of a pipe.
        until(lambda: [fd.partition(":")[0] for fd in opened(pid)] == ["pipe"], "its lifeline")
        await kept.end()
        assert pid not in children()
        await kept.end()

    done = loop.spawn(check())
    loop.run()
    assert done.finished.is_set


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_stops_it_is_told(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    monkeypatch.setattr(keeper, "Connection", _Willing if elsewhere else _Unwilling)
    monkeypatch.setattr(_Willing, "note", str(tmp_path / "note"))
    scope = own_scope()._replace(cgroup="/somewhere/else")
    words = "elsewhere than at" if elsewhere else r"systemd refuses x\.scope"

    before = children()

    async def check() -> None:
        with pytest.raises(HostError, match=words):
            await keeper.begin(scope, Children(loop))
        assert children() == before

    done = loop.spawn(check())
    loop.run()
    assert done.finished.is_set
