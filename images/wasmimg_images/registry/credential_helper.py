"""The programs `docker-credential-NAME` that keep secrets for docker and others.

Protocol: docker-credential-helpers, README "Development": a verb as the argument, the server's
address or a JSON object on stdin, a JSON object or a message on stdout.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import HostError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The user name under which helpers keep identity tokens.
TOKEN_USER: Final = "<token>"  # noqa: S105 -- a marker of the protocol, not a secret
_NOT_FOUND: Final = "credentials not found in native keychain"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATIENCE: Final = 60.0


class Helper:
    """One helper, by the name that the configuration gives it."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is not the name of a credential helper")
        self.program = f"docker-credential-{name}"
        self._environ = environ

    def get(self, server: str) -> tuple[str, str] | None:
        """Give user and secret, or nothing if the helper has none for this server."""
        status, output = self._run("get", server)
        if status:
            if _NOT_FOUND in output:
                return None
            raise HostError(f"{self.program} get {server}: {_first_line(output) or status}")
        try:
            answer: object = json.loads(output)
        except ValueError:
            answer = None
        match answer:
            case {"Username": str(user), "Secret": str(secret)}:
                return user, secret
            case _:
                raise HostError(f"{self.program} get {server}: the answer is no credential")

    def store(self, server: str, user: str, secret: str) -> None:
        """Keep a secret; raises HostError with what the helper said."""
        request = {"ServerURL": server, "Username": user, "Secret": secret}
        status, output = self._run("store", json.dumps(request))
        if status:
            raise HostError(f"{self.program} store {server}: {_first_line(output) or status}")

    def erase(self, server: str) -> None:
        """Forget a server's secret."""
        status, output = self._run("erase", server)
        if status and _NOT_FOUND not in output:
            raise HostError(f"{self.program} erase {server}: {_first_line(output) or status}")

    def _run(self, verb: str, stdin: str) -> tuple[int, str]:
        try:
            done = subprocess.run(
                [self.program, verb],
                input=stdin.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environ),
                timeout=_PATIENCE,
                check=False,
            )
        except FileNotFoundError as error:
            raise HostError(
                f"{self.program} is not on PATH",
                hint="install it, or take it out of Docker's config.json",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{self.program} {verb}: no answer in {_PATIENCE:.0f} s") from error
        return done.returncode, done.stdout.decode(errors="replace")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
