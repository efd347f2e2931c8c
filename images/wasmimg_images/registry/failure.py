"""What a registry's refusal means: from status and error body to one of our errors.

Source: OCI distribution-spec 1.1, "Error Codes". Errors are told apart by status and code, never by their text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode, urlunsplit

from wasmimg_images.errors import NotFound, RegistryError, WasmimgError
from wasmimg_images.registry.url import split_url

if TYPE_CHECKING:
    from collections.abc import Sequence

#: More of an error body than this is not read.
BODY_LIMIT: Final = 64 * 1024
#: Parameters whose values are no secrets; others (signatures, tokens, states) are left out of messages.
_HARMLESS: Final = frozenset(
    {"digest", "mount", "from", "n", "last", "artifactType", "service", "scope"}
)
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_TOO_LARGE, _TOO_MANY = 413, 429


class Diagnostic(NamedTuple):
    """One entry of a registry's error body."""

    code: str
    message: str


class Refused(RegistryError):
    """The registry answered, and the answer was no."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        diagnostics: Sequence[Diagnostic] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.diagnostics = tuple(diagnostics)


class Unauthorized(Refused):
    """Credentials are missing, wrong, or lack the right."""


class Unreachable(RegistryError):
    """No answer came; `temporary` says whether asking again may help."""

    def __init__(self, message: str, *, temporary: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.temporary = temporary


def diagnostics(body: bytes) -> tuple[Diagnostic, ...]:
    """Read the entries of an error body; anything else (a proxy's HTML page) has none."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    entries = (
        cast("dict[str, object]", document).get("errors") if isinstance(document, dict) else None
    )
    known = cast("list[object]", entries) if isinstance(entries, list) else []
    return tuple(found for entry in known if (found := _diagnostic(entry)))


def _diagnostic(entry: object) -> Diagnostic | None:
    match entry:
        case {"code": str(code), "message": str(message)}:
            return Diagnostic(_one_line(code), _one_line(message))
        case {"code": str(code)}:
            return Diagnostic(_one_line(code), "")
        case _:
            return None


def refusal(
    what: str, host: str, status: int, body: bytes, *, plain_http: bool = False
) -> WasmimgError:
    """Make the error for an answer that was not expected; `what` reads like "push of demo:1"."""
    found = diagnostics(body)
    reason = "; ".join(f"{code}: {text}" if text else code for code, text in found)
    said = f"{host} answered {status}" + (f" ({reason})" if reason else "")
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        verb = "unauthorized" if status == _UNAUTHORIZED else "denied"
        return Unauthorized(
            f"{what}: {verb}: {said}",
            status=status,
            diagnostics=found,
            hint=f"wasmimg login {host}",
        )
    if status == _NOT_FOUND:
        return NotFound(
            f"{what}: not found: {said}", hint="check the repository's name and the tag"
        )
    hint = {
        _TOO_LARGE: "the registry or a proxy before it limits the size of a request",
        _TOO_MANY: f"the rate limit of {host} is reached; wait, or log in",
    }.get(status)
    if plain_http and status == _BAD_REQUEST and not found:
        hint = "if that port speaks TLS, call it with --tls"  # what such ports say to plain HTTP
    return Refused(f"{what}: {said}", status=status, diagnostics=found, hint=hint)


def redact(url: str) -> str:
    """Take user, password and every parameter that may be a secret out of a URL."""
    parts = split_url(url)
    host = parts.netloc.rpartition("@")[2]
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name in _HARMLESS]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(kept, safe=":/,"), ""))


def _one_line(text: str) -> str:
    """Bound a peer's text and take line breaks and control characters out of it."""
    return "".join(c if c.isprintable() else " " for c in text[:300])
