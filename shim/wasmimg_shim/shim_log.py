"""What a shim has to say, as logfmt lines in `<bundle>/log`.

containerd made that FIFO before the start verb ran and copies what comes out to its own log. It may
be gone, or never have been there: then the lines are dropped, for a shim must not depend on it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress


class ShimLog:
    """Writes lines; never blocks and never fails."""

    def __init__(self, bundle: str, *, debug: bool = False) -> None:
        self._path = f"{bundle}/log"
        self._fd = -1
        self._debug = debug

    def debug(self, message: str, **fields: object) -> None:
        """Write a line of level debug, if the caller asked for those."""
        if self._debug:
            self._write("debug", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Write a line of level warning."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Write a line of level error."""
        self._write("error", message, fields)

    def move(self, bundle: str) -> None:
        """Write to the FIFO of another bundle from now on: the first one's may be gone by then."""
        self.close()
        self._path = f"{bundle}/log"

    def close(self) -> None:
        """Let go of the FIFO."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pairs = {"time": now, "level": level, "msg": message, **fields}
        line = " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items())
        with suppress(OSError):
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
                self._fd = os.open(self._path, flags)
            os.write(self._fd, f"{line}\n".encode("utf-8", "replace"))


def _quoted(value: str) -> str:
    plain = value and all(c.isalnum() or c in "-._/:@" for c in value)
    return value if plain else json.dumps(value)
