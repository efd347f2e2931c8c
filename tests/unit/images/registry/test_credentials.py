"""Docker's and podman's files; helpers are real programs on a PATH of their own."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from wasmimg_images.errors import HostError, InvalidInput, NotFound
from wasmimg_images.registry.config_file import read, update
from wasmimg_images.registry.credentials import Credential, Credentials

HELPER = """#!/bin/sh
# keeps one secret a server in files
cd "$HELPER_DIR" || exit 2
case "$1" in
  get) read -r server; name=$(printf %s "$server" | tr -c 'a-z0-9.' _)
       if [ -f "$name" ]; then cat "$name"; else echo 'credentials not found in native keychain'; exit 1; fi;;
  store) body=$(cat); server=$(printf %s "$body" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/')
       printf %s "$body" > "$(printf %s "$server" | tr -c 'a-z0-9.' _)";;
  erase) read -r server; rm "$(printf %s "$server" | tr -c 'a-z0-9.' _)";;
esac
"""


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def write(path: Path, document: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "docker/config.json"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-files"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    return {"PATH": f"{programs}:{os.environ['PATH']}", "HELPER_DIR": str(secrets)}


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("r.example", "r.example"),
        ("r.example:5000", "r.example:5000"),
        ("https://r.example", "r.example"),
        ("https://r.example/v1/", "r.example"),
        ("https://r.example/v2/", "r.example"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
    ],
)
def test_keys_as_tools_wrote_them(file: Path, key: str, host: str) -> None:
    write(file, {"auths": {key: {"auth": encoded("alice", "a:b")}}})
    credentials = Credentials([file], {})
    assert credentials.get(host) == Credential("alice", "a:b")
    assert credentials.get("other.example") is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": encoded("u", "p\0\0")}, Credential("u", "p")),
        ({"identitytoken": "t", "auth": encoded("u", "p")}, Credential("", "", "t")),
        ({"username": "u", "password": "p"}, Credential("u", "p")),
        ({}, None),
        ("text", None),
    ],
)
def test_entries(file: Path, entry: object, expected: Credential | None) -> None:
    write(file, {"auths": {"r.example": entry}})
    assert Credentials([file], {}).get("r.example") == expected


def test_podman_s_entries_for_a_part_of_a_registry(file: Path) -> None:
    auths = {
        "r": {"auth": encoded("all", "1")},
        "r/team/app": {"auth": encoded("app", "2")},
        "r/team": {"auth": encoded("team", "3")},
    }
    write(file, {"auths": auths})
    credentials = Credentials([file], {})
    found = [credentials.get("r", name) for name in ("x", "team/x", "team/app", "team/app/x", "")]
    assert [c.username for c in found if c] == ["all", "team", "app", "app", "all"]


@pytest.mark.parametrize("auth", ["%%%", base64.b64encode(b"nocolon").decode(), "/w=="])
def test_a_broken_entry_is_named(file: Path, auth: str) -> None:
    write(file, {"auths": {"r.example": {"auth": auth}}})
    with pytest.raises(InvalidInput, match=r"config\.json: auths: r\.example\.auth"):
        Credentials([file], {}).get("r.example")


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_a_broken_file_is_named(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        Credentials([file], {}).get("r.example")
    assert file.read_text() == text


@pytest.mark.parametrize("document", [{"auths": []}, {"auths": None}, {"credHelpers": 3}, {}])
def test_sections_of_another_kind_are_empty(file: Path, document: Mapping[str, object]) -> None:
    write(file, document)
    assert Credentials([file], {}).get("r.example") is None


def test_files_are_found_where_other_tools_look(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path / "home"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "named.json"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }
    places = [
        (tmp_path / "home/.config/containers/auth.json", "config"),
        (tmp_path / "run/containers/auth.json", "runtime"),
        (tmp_path / "docker/config.json", "docker"),
        (tmp_path / "named.json", "named"),
    ]
    for path, user in places:
        write(path, {"auths": {"r": {"auth": encoded(user, "x")}}})
        found = Credentials.from_environ(environ).get("r")
        assert found is not None
        assert found.username == user
    del environ["DOCKER_CONFIG"], environ["REGISTRY_AUTH_FILE"]
    write(tmp_path / "home/.docker/config.json", {"auths": {"r": {"auth": encoded("home", "x")}}})
    found = Credentials.from_environ(environ).get("r")
    assert found is not None
    assert found.username == "home"


def test_saving_keeps_all_else_and_is_private(file: Path) -> None:
    write(file, {"auths": {"a": {"auth": encoded("u", "p")}}, "psFormat": "x", "proxies": {"d": 1}})
    file.chmod(0o644)
    credentials = Credentials([file], {})
    assert credentials.save("r.example", Credential("alice", "pässword")) == str(file)
    assert credentials.get("r.example") == Credential("alice", "pässword")
    assert credentials.get("a") == Credential("u", "p")
    document = read(file)
    assert (document["psFormat"], document["proxies"]) == ("x", {"d": 1})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["config.json"]


def test_saving_replaces_the_entry_of_an_old_key(file: Path) -> None:
    write(file, {"auths": {"https://r.example/v1/": {"auth": encoded("old", "p")}}})
    credentials = Credentials([file], {})
    credentials.save("r.example", Credential("new", "q"))
    assert list(json.loads(file.read_text())["auths"]) == ["r.example"]


def test_docker_hub_has_docker_s_key(file: Path) -> None:
    credentials = Credentials([file], {})
    credentials.save("docker.io", Credential("u", "p"))
    assert list(json.loads(file.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert credentials.get("docker.io", "library/demo") == Credential("u", "p")


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    target = write(tmp_path / "dotfiles/config.json", {})
    (tmp_path / "docker").mkdir()
    link = tmp_path / "docker/config.json"
    link.symlink_to(target)
    Credentials([link], {}).save("r", Credential("u", "p"))
    assert link.is_symlink()
    assert "r" in json.loads(target.read_text())["auths"]


def test_logging_out(file: Path) -> None:
    credentials = Credentials([file], {})
    credentials.save("r.example", Credential("u", "p"))
    credentials.save("s.example", Credential("u", "p"))
    assert credentials.erase("r.example") == [str(file)]
    assert credentials.get("r.example") is None
    assert credentials.get("s.example") == Credential("u", "p")
    with pytest.raises(NotFound, match=r"not logged in to r\.example"):
        credentials.erase("r.example")


@pytest.mark.parametrize(
    "section", [{"credsStore": "files"}, {"credHelpers": {"r.example": "files"}}]
)
def test_a_helper_keeps_the_secret(
    file: Path, environ: dict[str, str], section: Mapping[str, object]
) -> None:
    write(file, section)
    credentials = Credentials([file], environ)
    assert credentials.get("r.example") is None
    assert credentials.save("r.example", Credential("u", "p")) == "docker-credential-files"
    assert credentials.get("r.example") == Credential("u", "p")
    assert read(file)["auths"] == {"r.example": {}}
    credentials.save("r.example", Credential("", "", "token"))
    assert credentials.get("r.example") == Credential("", "", "token")
    credentials.erase("r.example")
    assert credentials.get("r.example") is None
    assert not list(Path(environ["HELPER_DIR"]).iterdir())


def test_what_a_helper_does_not_know_may_be_in_the_file(
    file: Path, environ: dict[str, str]
) -> None:
    write(file, {"credsStore": "files", "auths": {"r": {"auth": encoded("u", "p")}}})
    assert Credentials([file], environ).get("r") == Credential("u", "p")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\necho 'the keychain is locked'; exit 1\n", "the keychain is locked"),
        ("#!/bin/sh\necho nonsense\n", "no credential"),
        ("#!/bin/sh\nexit 3\n", "get r: 3"),
    ],
)
def test_a_helper_that_fails_is_named(
    file: Path, environ: dict[str, str], tmp_path: Path, script: str, words: str
) -> None:
    helper = tmp_path / "bin/docker-credential-bad"
    helper.write_text(script)
    helper.chmod(0o755)
    write(file, {"credsStore": "bad"})
    with pytest.raises(HostError, match=words) as caught:
        Credentials([file], environ).get("r")
    assert "docker-credential-bad" in caught.value.message


def test_a_missing_helper_has_a_hint(file: Path) -> None:
    write(file, {"credsStore": "nowhere"})
    with pytest.raises(HostError, match="docker-credential-nowhere is not on PATH") as caught:
        Credentials([file], {"PATH": "/nonexistent"}).get("r")
    assert caught.value.hint


@pytest.mark.parametrize("name", ["../evil", "a/b", "-x", "a b"])
def test_a_helper_s_name_is_no_path(file: Path, name: str) -> None:
    write(file, {"credsStore": name})
    with pytest.raises(InvalidInput, match="not the name"):
        Credentials([file], {}).get("r")


def test_logins_at_the_same_time_all_stay(file: Path) -> None:
    def login(number: int) -> None:
        Credentials([file], {}).save(f"r{number}", Credential("u", "p"))

    threads = [threading.Thread(target=login, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(file.read_text())["auths"]) == 12


def test_a_change_that_fails_leaves_the_file(file: Path) -> None:
    write(file, {"auths": {}})
    before = file.read_bytes()

    def fail(_: dict[str, object]) -> dict[str, object]:
        return {"auths": {"x": object()}}

    with pytest.raises(TypeError):
        update(file, fail)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["config.json"]


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(Credential("u", "hunter2", "hunter2"))
