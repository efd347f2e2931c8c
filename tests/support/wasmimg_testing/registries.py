"""Registries to test against: ours in a thread, Debian's docker-registry as a process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wasmimg_images.registry.server.htpasswd import hashed
from wasmimg_images.registry.server.listener import Options, Server
from wasmimg_testing.tokens import TokenServer

DOCKER_REGISTRY = shutil.which("docker-registry")
USER, PASSWORD = "alice", "s3cret:with=signs"


class Registry(NamedTuple):
    """A running registry and who may use it."""

    host: str
    user: str | None = None
    password: str | None = None
    tokens: TokenServer | None = None

    def credentials_file(self, folder: Path) -> Path:
        """Write a docker configuration folder that knows the user."""
        import base64

        folder.mkdir(parents=True, exist_ok=True)
        auths: dict[str, object] = {}
        if self.user:
            pair = f"{self.user}:{self.password}".encode()
            auths[self.host] = {"auth": base64.b64encode(pair).decode()}
        (folder / "config.json").write_text(json.dumps({"auths": auths}))
        return folder


@contextlib.contextmanager
def ours(folder: Path, options: Options | None = None) -> Iterator[Registry]:
    server = Server(folder, "127.0.0.1", 0, options)
    server.start()
    try:
        yield Registry(server.host)
    finally:
        server.stop()


@contextlib.contextmanager
def ours_with_users(folder: Path) -> Iterator[Registry]:
    folder.mkdir(parents=True)
    with ours(folder / "registry", Options(htpasswd=htpasswd(folder))) as registry:
        yield registry._replace(user=USER, password=PASSWORD)


@contextlib.contextmanager
def debian(folder: Path) -> Iterator[Registry]:
    with docker_registry(folder, {}) as host:
        yield Registry(host)


@contextlib.contextmanager
def debian_with_users(folder: Path) -> Iterator[Registry]:
    folder.mkdir(parents=True)
    auth = {"htpasswd": {"realm": "test", "path": str(htpasswd(folder))}}
    with docker_registry(folder, {"auth": auth}) as host:
        yield Registry(host, USER, PASSWORD)


@contextlib.contextmanager
def debian_with_tokens(folder: Path) -> Iterator[Registry]:
    folder.mkdir(parents=True)
    with TokenServer({USER: PASSWORD}) as tokens:
        certificate = folder / "tokens.pem"
        certificate.write_bytes(tokens.certificate)
        auth = {
            "token": {
                "realm": tokens.realm,
                "service": tokens.service,
                "issuer": tokens.issuer,
                "rootcertbundle": str(certificate),
            }
        }
        with docker_registry(folder, {"auth": auth}) as host:
            yield Registry(host, USER, PASSWORD, tokens)


def htpasswd(folder: Path) -> Path:
    path = folder / "htpasswd"
    path.write_text(f"# users\n{USER}:{hashed(PASSWORD)}\n")
    return path


@contextlib.contextmanager
def docker_registry(
    folder: Path, extra: dict[str, object], http: dict[str, object] | None = None
) -> Iterator[str]:
    """Run Debian's registry on a free port until the block ends."""
    assert DOCKER_REGISTRY is not None
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "for tests", **(http or {})},
        **extra,
    }
    path = folder / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [DOCKER_REGISTRY, "serve", str(path)],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            until(lambda: listens(port), process.poll)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(
    condition: Callable[[], bool], ended: Callable[[], object] = lambda: None, limit: float = 10
) -> None:
    """Wait until something holds; fails when a process has ended or time is up."""
    end = time.monotonic() + limit
    while not condition():
        assert ended() is None, "the process has ended"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
