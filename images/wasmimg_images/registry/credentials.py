"""Who we are to a registry: the files and helpers that docker, podman and skopeo share.

Read in this order: REGISTRY_AUTH_FILE; DOCKER_CONFIG/config.json, else ~/.docker/config.json; podman's
auth.json. In each file a host's helper wins (`credHelpers`), then `credsStore`, then `auths`.
Sources: Docker's config.json reference; containers-auth.json(5).

The oras package is not used here: it ignores DOCKER_CONFIG, REGISTRY_AUTH_FILE and identity tokens, and
costs 0.15 s to import.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.registry.config_file import Document, read, section, update
from wasmimg_images.registry.credential_helper import TOKEN_USER, Helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DOCKER_HUB = "docker.io"
#: Docker Hub's key in every store, for reasons lost to history.
_HUB_KEY = "https://index.docker.io/v1/"


class Credential(NamedTuple):
    """A user with a password, or an identity token that buys access tokens."""

    username: str
    password: str
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, …)"


class CredentialSource(Protocol):
    """Where a session asks for credentials."""

    def get(self, host: str, repository: str, /) -> Credential | None:
        """Find what is known for a registry; nothing means anonymous."""
        ...


class Credentials:
    """Docker's and podman's files, with their helpers."""

    def __init__(self, files: Sequence[Path], environ: Mapping[str, str]) -> None:
        self._files = files
        self._environ = environ

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Credentials:
        """Find the files where the other tools look."""
        home = environ.get("HOME") or "/root"
        docker = environ.get("DOCKER_CONFIG") or f"{home}/.docker"
        files = [
            Path(docker) / "config.json",
            Path(environ.get("XDG_CONFIG_HOME") or f"{home}/.config") / "containers/auth.json",
        ]
        if runtime := environ.get("XDG_RUNTIME_DIR"):
            files.insert(1, Path(runtime) / "containers/auth.json")
        if named := environ.get("REGISTRY_AUTH_FILE"):
            files.insert(0, Path(named))
        return cls(files, environ)

    def get(self, host: str, repository: str = "") -> Credential | None:
        """Find the credential for a registry (and, in podman's files, a part of it).

        Raises InvalidInput for a broken file, HostError for a broken helper.
        """
        for path in self._files:
            document = read(path)
            if helper := self._helper(document, host):
                found = helper.get(_key(host))
                if found is not None:
                    return _from_helper(*found)
            for key, entry in _matching(document, host, repository):
                credential = _decode(entry, f"{path}: auths: {key}")
                if credential is not None:
                    return credential
        return None

    def save(self, host: str, credential: Credential) -> str:
        """Keep a credential where the first file says; tells where that is."""
        path = self._files[0]
        helper = self._helper(read(path), host)
        if helper is not None:
            user = TOKEN_USER if credential.identity_token else credential.username
            helper.store(_key(host), user, credential.identity_token or credential.password)
        update(path, lambda document: _with_entry(document, host, None if helper else credential))
        return helper.program if helper else str(path)

    def erase(self, host: str) -> list[str]:
        """Forget a registry in every file and helper; raises NotFound if none knew it."""
        erased: list[str] = []
        for path in self._files:
            document = read(path)
            helper = self._helper(document, host)
            if helper is not None and helper.get(_key(host)) is not None:
                helper.erase(_key(host))
                erased.append(helper.program)
            if any(True for _ in _matching(document, host, "")):
                update(path, lambda document: _without(document, host))
                erased.append(str(path))
        if not erased:
            raise NotFound(f"not logged in to {host}")
        return erased

    def _helper(self, document: Document, host: str) -> Helper | None:
        own = section(document, "credHelpers").get(_host(host))
        name = own if isinstance(own, str) and own else document.get("credsStore")
        return Helper(name, self._environ) if isinstance(name, str) and name else None


def _host(host: str) -> str:
    return "index.docker.io" if host == DOCKER_HUB else host


def _key(host: str) -> str:
    return _HUB_KEY if host == DOCKER_HUB else host


def _matching(document: Document, host: str, repository: str) -> Iterator[tuple[str, object]]:
    """Give the entries that speak for a repository, the most specific first."""
    parts = repository.split("/") if repository else []
    names = ["/".join([host, *parts[:count]]) for count in range(len(parts), -1, -1)]
    aliases = {"index.docker.io", "registry-1.docker.io"} if host == DOCKER_HUB else set[str]()
    for name in [*names, *sorted(aliases)]:
        for key, entry in section(document, "auths").items():
            if _normal(key) == name:
                yield key, entry


def _normal(key: str) -> str:
    """Strip what old versions of Docker wrote around a host: https://HOST/v1/."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2")


def _decode(entry: object, where: str) -> Credential | None:
    match entry:
        case {"identitytoken": str(token)} if token:
            return Credential("", "", token)
        case {"auth": str(encoded)} if encoded:
            try:
                text = base64.b64decode(encoded, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                text = ""
            user, colon, password = text.partition(":")
            if not colon:
                raise InvalidInput(f"{where}.auth is not base64 of user:password")
            return Credential(user, password.rstrip("\0"))
        case {"username": str(user), "password": str(password)}:
            return Credential(user, password)
        case _:
            return None


def _from_helper(user: str, secret: str) -> Credential:
    return Credential("", "", secret) if user == TOKEN_USER else Credential(user, secret)


def _without(document: Document, host: str) -> Document:
    keys = {key for key, _ in _matching(document, host, "")}
    left = {k: v for k, v in section(document, "auths").items() if k not in keys}
    return {**document, "auths": left} if keys else document


def _with_entry(document: Document, host: str, credential: Credential | None) -> Document:
    """Put an entry in place of the host's others; an empty one when a helper has the secret."""
    entry: dict[str, object] = {}
    if credential is not None:
        plain = f"{credential.username}:{credential.password}".encode()
        entry = {"auth": base64.b64encode(plain).decode()}
        if credential.identity_token:
            entry["identitytoken"] = credential.identity_token
    cleared = _without(document, host)
    return {**cleared, "auths": {**section(cleared, "auths"), _key(host): entry}}
