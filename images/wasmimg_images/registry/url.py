"""URLs that a registry or a user gives: taken apart or joined, or refused. Pure.

urllib raises ValueError for an IPv6 address without its bracket and for a port beyond 65535; both
come from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib import parse

from wasmimg_images.errors import RegistryError

if TYPE_CHECKING:
    from urllib.parse import SplitResult


def split_url(url: str) -> SplitResult:
    """Take a URL apart; RegistryError for what is none, its port included."""
    try:
        parts = parse.urlsplit(url)
        _ = parts.port  # looked at only when it is asked for
    except ValueError as error:
        raise _malformed(url, error) from None
    return parts


def join_url(base: str, url: str) -> str:
    """Make a URL absolute; RegistryError for what is none."""
    try:
        return parse.urljoin(base, url)
    except ValueError as error:
        raise _malformed(url, error) from None


def _malformed(url: str, error: ValueError) -> RegistryError:
    # Without user, password and parameters, which may be secrets.
    shown = url.partition("?")[0].rpartition("@")[2][:80]
    return RegistryError(f"{shown!r} is no URL: {error}")
