"""One container in a supervisor's care: its end, its health and the names it asks for.

Everything it waits for is its share of the supervisor's loop; nothing here blocks on the container.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wasmimg_compose.held import Held
from wasmimg_compose.places import Places
from wasmimg_compose.probing import Probing
from wasmimg_compose.responder import Responder
from wasmimg_compose.streams import Streams
from wasmimg_shim import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_compose.loop import Share
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


class Watched:
    """A running container; `ended` is called once with its exit, None if its shim was killed."""

    def __init__(
        self,
        home: Home,
        record: Record,
        share: Share,
        ended: Callable[[Record, client.Exit | None], None],
    ) -> None:
        self.record = record
        self._home = home
        self._share = share
        self._ended = ended
        self._held = Held()
        self._responder: Responder | None = None
        #: What _begin() has opened.
        self._open = contextlib.ExitStack()
        self._closed = False
        share.set(0, self._begin)

    def _begin(self) -> None:
        """Begin to wait for its end and to probe it."""
        try:
            wait = client.PendingWait(self.record.shim, self.record.id)
        except ConnectionError:
            self._ended(self.record, None)
            return
        self._open.callback(wait.close)
        self._share.register(wait, lambda: self._on_end(wait))
        if self.record.healthcheck is not None:
            check = self.record.healthcheck
            self._open.callback(Probing(self._home, self.record, check, self._share).close)
        places = Places(self._home, self.record.id)
        with contextlib.suppress(FileNotFoundError):
            self._open.callback(Streams(places.streams, places.log, self._share).close)

    def hold(self, held: Held) -> None:
        """Keep its sockets, and answer on those for names."""
        if self._closed:
            held.close()
            return
        self._held.close()
        self._held = held
        if self._responder is not None:
            self._responder.close()
            self._responder = None
        if held.names:
            self._responder = Responder(self._home, self.record.id, held.names, self._share)

    @property
    def holds(self) -> bool:
        """Whether it was given its sockets."""
        return bool(self._held.ports or self._held.names)

    def close(self) -> None:
        """Let go of everything, even where a part of it fails."""
        self._closed = True
        self._share.close()
        with self._open:
            self._open.callback(self._held.close)
            if self._responder is not None:
                self._open.callback(self._responder.close)

    def _on_end(self, wait: client.PendingWait) -> None:
        found: client.Exit | None = None
        try:
            found = wait.result(0)
        except (client.ShimGone, client.RpcError):
            pass
        except TimeoutError:  # the answer is not whole yet
            return
        self._ended(self.record, found)
