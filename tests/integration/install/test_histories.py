"""Any history of installs, kills, uninstalls and a user's own edits ends with what the user wrote."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wasmimg_testing.install import DAEMON_JSON, USERS, make_root, tree
from wasmimg_testing.mortal import command

OPTIONS = st.lists(
    st.sampled_from(["--no-drop-ins", "--keep-image-store", "--bin-dir=/opt/bin", "--force"]),
    unique=True,
)
KEYS = st.sampled_from(["debug", "labels", "mtu", "registry-mirrors"])
VALUES = st.sampled_from([True, 1500, ["a=b"], {"x": None}, "text"])
NEVER, AT_ONCE, LATER = -1, st.integers(0, 12), st.integers(0, 60)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = make_root(Path(self.folder.name) / "root")
        self.before = tree(self.root)
        self.users: dict[str, object] = json.loads(USERS)
        self.edited = False

    def teardown(self) -> None:
        try:
            assert command("uninstall", self.root) == 0
            after = tree(self.root)
            assert json.loads(after[DAEMON_JSON][1]) == self.users
            if not self.edited:
                assert after[DAEMON_JSON] == self.before[DAEMON_JSON]
            assert after.keys() == self.before.keys()
        finally:
            self.folder.cleanup()

    @property
    def document(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.root / DAEMON_JSON).read_bytes())
        return found

    @rule(options=OPTIONS)
    def install(self, options: list[str]) -> None:
        assert command("install", self.root, *options) == 0
        assert "wasmimg" in json.dumps(self.document["runtimes"])

    @rule(options=OPTIONS, die_at=st.one_of(AT_ONCE, LATER))
    def install_is_killed(self, options: list[str], die_at: int) -> None:
        command("install", self.root, *options, die_at=die_at)

    @rule()
    def uninstall(self) -> None:
        assert command("uninstall", self.root) == 0
        assert self.document == self.users

    @rule(die_at=AT_ONCE)
    def uninstall_is_killed(self, die_at: int) -> None:
        command("uninstall", self.root, die_at=die_at)

    @rule(key=KEYS, value=VALUES, indent=st.sampled_from([None, 2, 4]))
    def the_user_edits(self, key: str, value: object, indent: int | None) -> None:
        (self.root / DAEMON_JSON).write_text(
            json.dumps({**self.document, key: value}, indent=indent) + "\n"
        )
        self.users[key] = value
        self.edited = True

    @invariant()
    def nothing_of_the_user_is_lost(self) -> None:
        document = self.document
        assert {key: document[key] for key in self.users} == self.users


TestHistories = Histories.TestCase
TestHistories.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]
TestHistories.settings = settings(max_examples=40, stateful_step_count=8)
