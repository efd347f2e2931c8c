from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_images.registry.server.htpasswd import Htpasswd, hashed

#: What `htpasswd -s` writes for "correct horse".
SHA = "{SHA}" + base64.b64encode(hashlib.sha1(b"correct horse").digest()).decode()


def header(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def users(path: Path, text: str) -> Htpasswd:
    path.write_text(text)
    return Htpasswd(path)


@pytest.mark.parametrize("prefix", ["$2y$05$", "$2b$04$", "$6$1000$"])
def test_the_right_password_and_no_other(tmp_path: Path, prefix: str) -> None:
    found = users(tmp_path / "f", f"# people\n\nalice:{hashed('correct horse', prefix)}\n")
    for _ in range(2):  # the second time from memory
        assert found.allows(header("alice", "correct horse"))
        assert not found.allows(header("alice", "correct hors"))
        assert not found.allows(header("bob", "correct horse"))
        assert not found.allows(header("alice", ""))


def test_vectors_of_others(tmp_path: Path) -> None:
    # crypt_blowfish's own test vector
    bcrypt = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
    found = users(tmp_path / "f", f"sha:{SHA}\nbcrypt:{bcrypt}\n")
    assert found.allows(header("sha", "correct horse"))
    assert not found.allows(header("sha", "wrong"))
    assert found.allows(header("bcrypt", "U*U"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Basic",
        "Basic %%%",
        "Bearer x",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        header("alice", "correct horse\0"),
    ],
)
def test_headers_that_name_nobody(tmp_path: Path, value: str | None) -> None:
    assert not users(tmp_path / "f", f"alice:{SHA}\n").allows(value)


@pytest.mark.parametrize("line", ["alice", "alice:plain", ":" + SHA, "alice:$apr1$x$y"])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidInput, match="f:2: expected user:hash"):
        users(tmp_path / "f", f"bob:{SHA}\n{line}\n")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"):
        Htpasswd(tmp_path / "nowhere")
