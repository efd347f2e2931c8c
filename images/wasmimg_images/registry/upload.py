"""One blob's upload as a state machine without input or output.

`Upload.step` says what to ask of the registry next; the caller asks, then reports the answer with
`answered`, or with `interrupted` that none came. Source: OCI distribution-spec 1.1, "Pushing blobs".

    Begin ──202──> Send … Send ──202──> Finish ──201──> Done
      │             └─broken─> Query ──204──> Send from the offset the registry really holds
      └─201 (mounted)─> Done   └──404──> Check ──200──> Done (it was finished after all), else Begin

A blob of at most one chunk goes up whole: its Send carries the digest and is the last request. Not after
a break: bytes of the broken request may still be on their way into the session, and only a chunk with a
Content-Range is refused when it does not fit what is there. The offset always comes from
the registry's Range header, never from what was written into a socket.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_images.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREATED, _ACCEPTED, _NO_CONTENT, _OK, _NOT_FOUND, _UNSATISFIABLE = 201, 202, 204, 200, 404, 416
#: What registries say to an upload that they don't know any more, or can't speak about.
_LOST: Final = frozenset({400, 404, 405, 410, 416})
_RANGE: Final = re.compile(r"(?:bytes=)?0-(\d{1,19})")


class Begin(NamedTuple):
    """POST: open a session, or mount the blob from another repository of the registry."""

    mount_from: str | None


class Send(NamedTuple):
    """Send bytes: PATCH, or PUT with the digest when `last`."""

    location: str
    offset: int
    length: int
    last: bool


class Finish(NamedTuple):
    """PUT with the digest and no bytes."""

    location: str


class Query(NamedTuple):
    """GET: how much of the blob does the session hold?"""

    location: str


class Check(NamedTuple):
    """HEAD: the session is gone; is the blob there?"""


class Done(NamedTuple):
    """The registry has the blob."""

    mounted: bool


Step = Begin | Send | Finish | Query | Check | Done

_EXPECTED: Final[Mapping[type[Step], frozenset[int]]] = {
    Begin: frozenset({_CREATED, _ACCEPTED}),
    Send: frozenset({_CREATED, _ACCEPTED, _NO_CONTENT, _NOT_FOUND, _UNSATISFIABLE}),
    Finish: frozenset({_CREATED, _NO_CONTENT, _NOT_FOUND, _UNSATISFIABLE}),
    Query: frozenset({_NO_CONTENT, _ACCEPTED, _OK}) | _LOST,
    Check: frozenset({_OK, _NOT_FOUND}),
    Done: frozenset(),
}


class Upload:
    """Moves a blob of `size` bytes up in requests of at most `chunk` bytes.

    With `location`, a session of an earlier run is taken up again.
    """

    def __init__(
        self, size: int, *, chunk: int, mount_from: str | None = None, location: str | None = None
    ) -> None:
        self._size = size
        self._chunk = chunk
        self._doubtful = False
        self._resumed = False
        self.offset = 0
        self.step: Step = Begin(mount_from) if location is None else Query(location)

    @property
    def location(self) -> str | None:
        """Where the session is, for a later run to take it up."""
        match self.step:
            case Send(location=location) | Finish(location) | Query(location):
                return location
            case Begin() | Check() | Done():
                return None

    def expects(self, status: int) -> bool:
        """Tell whether `answered` knows what this status means for the present step."""
        return status in _EXPECTED[type(self.step)]

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Move on with the registry's answer; header names are lower case, Location is absolute.

        Raises RegistryError when the answer breaks the protocol.
        """
        match self.step:
            case Begin():
                self._begun(status, headers)
            case Send(last=False) if status in {_ACCEPTED, _NO_CONTENT}:
                self._continue(_location(headers, self.step.location), headers)
            case Send(last=False) if status == _CREATED:
                # Azure's and some older registries answer 201 to a PATCH
                self._continue(_location(headers, self.step.location), headers)
            case Send(location=location) | Finish(location):
                self._finished(status, location)
            case Query(location):
                if status in _LOST:
                    self.step = Check()
                else:
                    self._resumed = True
                    self._continue(_location(headers, location), headers)
            case Check():
                self.step = Done(mounted=False) if status == _OK else Begin(None)
                self.offset = 0
            case Done():
                raise AssertionError(status)

    def interrupted(self) -> None:
        """Move on after a broken connection or a temporary failure: ask, don't guess."""
        match self.step:
            case Send(location=location) | Finish(location):
                self.step = Query(location)
            case Begin() | Query() | Check() | Done():
                pass

    def _begun(self, status: int, headers: Mapping[str, str]) -> None:
        if status == _CREATED:
            self.step = Done(mounted=True)
            return
        shortest = headers.get("oci-chunk-min-length", "")
        if shortest.isascii() and shortest.isdigit():
            self._chunk = max(self._chunk, int(shortest[:18]))
        self.offset, self._resumed = 0, False
        self._send(_location(headers, None))

    def _continue(self, location: str, headers: Mapping[str, str]) -> None:
        text = headers.get("range", "")
        held = _RANGE.fullmatch(text)
        if held is None and text:
            raise RegistryError(f"upload session answers with a malformed Range: {text[:80]!r}")
        # distribution 2 says "0-0" for no byte and for one; a 416 to the next chunk tells which
        zero = held is not None and held[1] == "0" and isinstance(self.step, Query)
        self._doubtful = zero and not self._doubtful
        offset = int(held[1]) + 1 if held and not self._doubtful else 0
        if held is None and isinstance(self.step, Send):
            offset = self.step.offset + self.step.length  # a 202 without Range took all of it
        if offset > self._size:
            raise RegistryError(f"upload session holds {offset} bytes of a blob of {self._size}")
        self.offset = offset
        self._send(location)

    def _send(self, location: str) -> None:
        left = self._size - self.offset
        if left == 0 and self.offset:
            self.step = Finish(location)
        else:
            last = self.offset == 0 and left <= self._chunk and not self._resumed
            self.step = Send(location, self.offset, min(left, self._chunk), last)

    def _finished(self, status: int, location: str) -> None:
        match status:
            case 404:
                self.step = Check()
            case 416 | 202:
                self.step = Query(location)
            case _:
                self.step = Done(mounted=False)


def _location(headers: Mapping[str, str], previous: str | None) -> str:
    location = headers.get("location") or previous
    if not location:
        raise RegistryError("upload session has no Location")
    return location
