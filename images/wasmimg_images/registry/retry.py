"""When a failed request is worth sending again, and how long to wait before it.

Pure: time, chance and sleeping are the caller's.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

#: Answers that a later identical request may not get: timeouts, rate limits, a server in trouble.
TEMPORARY: Final = frozenset({408, 429, 500, 502, 503, 504})


class Policy(NamedTuple):
    """Exponential growth with jitter; times in seconds."""

    attempts: int = 5
    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0

    def delay(self, failures: int, retry_after: float | None, chance: float) -> float | None:
        """Wait so long after that many failures in a row, or give up (None).

        The server's own wish counts up to `longest`; else the delay is spread by `chance`
        (0 to 1) over its upper half, so that many clients don't come back at once.
        """
        if failures >= self.attempts:
            return None
        if retry_after is not None:
            return min(max(retry_after, 0.0), self.longest)
        full = min(self.first * self.factor ** (failures - 1), self.longest)
        return full * (0.5 + 0.5 * chance)


def retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110 section 10.2.3), as seconds from now."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None
