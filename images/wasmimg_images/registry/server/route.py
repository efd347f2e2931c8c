"""Which endpoint an address names (distribution-spec 1.1, "Endpoints")."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from wasmimg_images.registry.server.reply import Problem

Endpoint = Literal["base", "catalog", "manifest", "blob", "uploads", "upload", "tags", "referrers"]

_PATTERNS: Final[tuple[tuple[Endpoint, re.Pattern[str]], ...]] = (
    ("base", re.compile(r"/v2/?")),
    ("catalog", re.compile(r"/v2/_catalog")),
    ("tags", re.compile(r"/v2/(.+)/tags/list")),
    ("uploads", re.compile(r"/v2/(.+)/blobs/uploads/?")),
    ("upload", re.compile(r"/v2/(.+)/blobs/uploads/([^/]+)")),
    ("blob", re.compile(r"/v2/(.+)/blobs/([^/]+)")),
    ("manifest", re.compile(r"/v2/(.+)/manifests/([^/]+)")),
    ("referrers", re.compile(r"/v2/(.+)/referrers/([^/]+)")),
)
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_MAX_NAME: Final = 255


class Route(NamedTuple):
    """An endpoint of one repository; `item` is a tag, a digest or an upload."""

    endpoint: Endpoint
    repository: str = ""
    item: str = ""


def parse(target: str) -> tuple[Route, dict[str, str]]:
    """Read a request target; raises Problem for names that no repository may have."""
    try:
        parts = urlsplit(target)
    except ValueError:
        raise Problem("NAME_INVALID", "malformed request target") from None
    path = unquote(parts.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for endpoint, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        route = Route(endpoint, *found.groups())
        if route.repository and not is_repository(route.repository):
            raise Problem("NAME_INVALID", f"invalid repository name {route.repository[:80]!r}")
        return route, query
    raise Problem("NAME_UNKNOWN", "no such endpoint")


def is_repository(name: str) -> bool:
    """Whether a repository may have this name."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None
