"""Image references: `registry/repository:tag@digest`, with Docker's defaults.

The grammar is that of the distribution project's reference package, which every tool follows.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wasmimg_images.digest import Digest
from wasmimg_images.errors import InvalidInput

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_LIBRARY: Final = "library/"
_MAX_NAME: Final = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY: Final = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?",
)
_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")


class Reference(NamedTuple):
    """Where an image is found: never without a tag or a digest."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse what a user types; `demo` means `docker.io/library/demo:latest`.

        Raises InvalidInput, with a hint where the mistake is a common one.
        """
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise InvalidInput(
                f"reference {text!r}: {tag!r} is not a tag",
                hint="a tag has letters, digits, _ . and -, at most 128, and starts with no . or -",
            )
        registry, repository = _split_registry(name, text)
        if tag is None and digest is None:
            tag = DEFAULT_TAG
        return cls(registry, repository, tag, digest)

    def __str__(self) -> str:
        return f"{self.name}{self._suffix()}"

    @property
    def name(self) -> str:
        """Registry and repository, canonical."""
        return f"{self.registry}/{self.repository}"

    def familiar(self) -> str:
        """The short form that Docker prints: no docker.io, no library/."""
        return f"{self.familiar_name}{self._suffix()}"

    @property
    def familiar_name(self) -> str:
        """Registry and repository as Docker prints them."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        if self.repository.startswith(_LIBRARY) and self.repository.count("/") == 1:
            return self.repository.removeprefix(_LIBRARY)
        return self.repository

    def with_digest(self, digest: Digest) -> Reference:
        """The same repository, by digest alone."""
        return self._replace(tag=None, digest=digest)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def _split_tag(rest: str) -> tuple[str, str | None]:
    """Cut at the last colon, unless it belongs to a registry's port."""
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, None
    return name, tag


def _split_registry(name: str, text: str) -> tuple[str, str]:
    first, slash, remainder = name.partition("/")
    names_host = any(c in first for c in ".:[") or first == "localhost" or first != first.lower()
    registry, repository = (first, remainder) if slash and names_host else (DEFAULT_REGISTRY, name)
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _LIBRARY + repository
    if not _REGISTRY.fullmatch(registry):
        raise InvalidInput(f"reference {text!r}: {registry!r} is not a registry's host[:port]")
    if not _REPOSITORY.fullmatch(repository):
        hint = None
        if _REPOSITORY.fullmatch(repository.lower()):
            hint = f"repository names are lower case: {text.replace(name, name.lower(), 1)}"
        raise InvalidInput(
            f"reference {text!r}: {repository.removeprefix(_LIBRARY)!r} is not a repository name",
            hint=hint,
        )
    if not slash and _IDENTIFIER.fullmatch(name):
        raise InvalidInput(f"reference {text!r}: an image id can't be used as a name")
    if len(f"{registry}/{repository}") > _MAX_NAME:
        raise InvalidInput(f"reference {text[:40]!r}…: names have at most {_MAX_NAME} characters")
    return registry, repository
