"""The logs of several containers as one stream of lines, each with its container's name in front."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CHUNK = 1 << 16
#: How often a followed log is looked at (ms): inotify has no Python binding in the library.
INTERVAL = 100


class Source(NamedTuple):
    """One container's log: the name that stands in front of its lines, and the file."""

    name: str
    path: Path


class Line(NamedTuple):
    """One line without its end; `width` is the longest name, so that lines align."""

    name: str
    text: str
    width: int

    def __str__(self) -> str:
        return f"{self.name.ljust(self.width)}  | {self.text}"


class _Tail:
    """What has been read of one file, up to the last whole line."""

    def __init__(self, source: Source, last: int | None) -> None:
        self.source = source
        self._rest = b""
        self._last = last
        try:
            self._handle: int | None = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._handle = None

    def lines(self, *, end: bool) -> list[str]:
        """Read on; at the end a line without a newline counts as well."""
        if self._handle is None:
            return []
        while chunk := os.read(self._handle, CHUNK):
            self._rest += chunk
        *whole, self._rest = self._rest.split(b"\n")
        if end and self._rest:
            whole.append(self._rest)
            self._rest = b""
        if self._last is not None:
            whole, self._last = whole[max(0, len(whole) - self._last) :], None
        return [line.decode(errors="replace").rstrip("\r") for line in whole]

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)


def lines(
    sources: Sequence[Source],
    *,
    tail: int | None = None,
    follow: Callable[[], bool] | None = None,
) -> Iterator[Line]:
    """Give the logs' lines, of each the `tail` last ones.

    `follow` is asked between looks whether there may be more; without it the logs are read once.
    """
    width = max((len(source.name) for source in sources), default=0)
    tails = [_Tail(source, tail) for source in sources]
    try:
        while True:
            more = follow() if follow else False
            for one in tails:
                for text in one.lines(end=not more):
                    yield Line(one.source.name, text, width)
            if not more:
                return
            select.select([], [], [], INTERVAL / 1000)
    finally:
        for one in tails:
            one.close()
