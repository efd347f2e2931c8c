"""The commands as a user types them: what is on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_testing import registries
from wasmimg_testing.registries import PASSWORD, USER, Registry, free_port
from wasmimg_testing.samples import add_index


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str


class Shell:
    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "home/store")
        self.docker = folder / "docker"
        self.environ = {
            **os.environ,
            "WASMIMG_HOME": str(folder / "home"),
            "WASMIMG_CACHE": str(folder / "cache"),
            "WASMIMG_RUN": str(folder / "run"),
            "DOCKER_CONFIG": str(self.docker),
            "HOME": str(folder),
        }
        self.environ.pop("REGISTRY_AUTH_FILE", None)

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "wasmimg", *arguments],
            input=stdin,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "user")


def test_push_and_pull(shell: Shell, registry: Registry, tmp_path: Path) -> None:
    root, name = add_index(shell.store), f"{registry.host}/team/demo"
    shell.store.tag(Reference.parse(name), root)
    by_digest = f"{name}@{root.digest}\n"
    pushed = shell("push", name)
    assert (pushed.code, pushed.stdout) == (0, by_digest)
    assert len(re.findall(r"^ [0-9a-f]{12}  pushed  \S+$", pushed.stderr, re.MULTILINE)) == 11
    quiet = shell("push", "-q", f"{name}:latest")
    assert quiet == (0, by_digest, "")
    document = json.loads(shell("push", "--json", name).stdout)
    assert (document["unchanged"], document["uploadedBytes"]) == (True, 0)

    other = Shell(tmp_path / "other")
    pulled = other("pull", name)
    assert (pulled.code, pulled.stdout) == (0, by_digest)
    assert other.store.resolve(Reference.parse(name)) == root
    again = other("pull", "--all-platforms", "--json", name)
    assert json.loads(again.stdout)["digest"] == str(root.digest)
    assert other("pull", by_digest.strip()).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "line", "hint"),
    [
        (["push", "absent:1"], 4, "no image absent:1 here", "wasmimg images"),
        (["pull", "{host}/absent"], 4, "pull of {host}/absent:latest: not found", None),
        (["pull", "{nobody}/x"], 5, "{nobody}: connection refused", "is the registry running?"),
        (["pull", "{host}/Demo"], 3, "not a repository name", "lower case"),
        (["pull", "{host}/demo:@"], 3, "", None),
        (["pull", "--platform", "linux/wasm", "{host}/a"], 3, "linux/wasm", "wasi/wasm"),
        (
            ["pull", "--platform", "plan9/mips", "{host}/demo"],
            4,
            "nothing for the platforms",
            "wasi/wasm, linux/amd64, linux/arm64, linux/riscv64",
        ),
        (["pull", "--tls", "{host}/demo"], 5, "does not speak TLS", "--plain-http"),
    ],
)
def test_mistakes_take_one_line(
    shell: Shell, registry: Registry, arguments: list[str], code: int, line: str, hint: str | None
) -> None:
    name = f"{registry.host}/demo:latest"
    shell.store.tag(Reference.parse(name), add_index(shell.store))
    shell("push", name)
    words = {"host": registry.host, "nobody": f"127.0.0.1:{free_port()}"}
    result = shell(*(argument.format(**words) for argument in arguments))
    first, *rest = result.stderr.splitlines()
    assert (result.code, result.stdout) == (code, "")
    assert first.startswith("wasmimg: ")
    assert line.format(**words) in first
    assert len(rest) <= 1
    if hint:
        assert hint in rest[0]


def test_login_push_logout(shell: Shell, tmp_path: Path) -> None:
    with registries.ours_with_users(tmp_path / "served") as registry:
        name = f"{registry.host}/a:1"
        shell.store.tag(Reference.parse(name), add_index(shell.store))
        refused = shell("push", "-q", name)
        assert refused.code == 5
        assert f"hint: wasmimg login {registry.host}" in refused.stderr

        wrong = shell("login", "-u", USER, "--password-stdin", registry.host, stdin="wrong\n")
        assert wrong.code == 5
        assert "unauthorized" in wrong.stderr
        assert not (shell.docker / "config.json").exists()

        right = shell("login", "-u", USER, "--password-stdin", registry.host, stdin=PASSWORD + "\n")
        assert (right.code, right.stdout) == (0, "")
        assert PASSWORD not in right.stderr
        assert (shell.docker / "config.json").stat().st_mode & 0o777 == 0o600
        assert shell("push", "-q", name).code == 0

        assert shell("logout", registry.host).code == 0
        assert shell("pull", "-q", name).code == 5
        assert shell("logout", registry.host).code == 4


def test_help_does_not_pay_for_http() -> None:
    for command in ("push", "pull", "login", "registry-serve"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "wasmimg", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not imported & {
            "urllib3",
            "ssl",
            "http.client",
            "http.server",
            "wasmimg_images.spec",
        }
        assert "click" in imported
