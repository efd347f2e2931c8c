"""One container in a supervisor's care: its end, its health and the names it asks for.

Everything it waits for is registered with the supervisor's selector, each with the function to
call; nothing here blocks on the container.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import time
from typing import TYPE_CHECKING

from wasmimg_compose import health, probe
from wasmimg_compose.container import HOST
from wasmimg_compose.held import Held
from wasmimg_compose.places import Places
from wasmimg_compose.record import Records
from wasmimg_compose.responder import Responder
from wasmimg_compose.starting import network_kind
from wasmimg_compose.streams import Streams
from wasmimg_images.errors import NotFound, WasmimgError
from wasmimg_shim import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_compose.alarms import Alarm, Alarms
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


class Watched:
    """A running container; `ended` is called once with its exit, None if its shim was killed."""

    def __init__(
        self,
        home: Home,
        record: Record,
        selector: selectors.BaseSelector,
        alarms: Alarms,
        ended: Callable[[Record, client.Exit | None], None],
    ) -> None:
        self.record = record
        self._home = home
        self._selector = selector
        self._alarms = alarms
        self._ended = ended
        self._held = Held()
        self._responder: Responder | None = None
        self._health = health.Health()
        self._probe: probe.Probe | None = None
        self._alarm: Alarm | None = None
        self._wait: client.PendingWait | None = None
        self._streams: Streams | None = None

    def begin(self) -> None:
        """Begin to wait for its end and to probe it."""
        try:
            self._wait = client.PendingWait(self.record.shim, self.record.id)
        except client.ShimGone:
            self._ended(self.record, None)
            return
        self._selector.register(self._wait, selectors.EVENT_READ, self._on_end)
        if self.record.healthcheck is not None:
            self._schedule()
        places = Places(self._home, self.record.id)
        with contextlib.suppress(FileNotFoundError):
            self._streams = Streams(places.streams, places.log, self._selector, self._alarms)

    def hold(self, held: Held) -> None:
        """Keep its sockets, and answer on those for names."""
        self._held.close()
        self._held = held
        if self._responder is not None:
            self._responder.close()
            self._responder = None
        if held.names:
            self._responder = Responder(
                self._home, self.record.id, held.names, self._selector, self._alarms
            )

    @property
    def holds(self) -> bool:
        """Whether it was given its sockets."""
        return bool(self._held.ports or self._held.names)

    def close(self) -> None:
        """Let go of everything."""
        self._end_probe()
        self._alarms.cancel(self._alarm)
        if self._streams is not None:
            self._streams.close()
            self._streams = None
        if self._wait is not None:
            self._selector.unregister(self._wait)
            self._wait.close()
            self._wait = None
        if self._responder is not None:
            self._responder.close()
        self._held.close()

    def _on_end(self) -> None:
        assert self._wait is not None
        found: client.Exit | None = None
        with contextlib.suppress(client.ShimGone, client.RpcError):
            found = self._wait.result(0)
        self._ended(self.record, found)

    # -- health

    def _schedule(self) -> None:
        check = self.record.healthcheck
        assert check is not None
        delay = health.next_delay(check, self._health)
        self._alarm = self._alarms.set(delay, self._begin_probe)

    def _begin_probe(self) -> None:
        check = self.record.healthcheck
        assert check is not None
        try:
            self._probe = self._make_probe(probe.command(check))
        except (WasmimgError, OSError, client.RpcError):
            self._take(passed=False)
            return
        self._selector.register(self._probe, selectors.EVENT_READ, self._on_answer)
        self._alarm = self._alarms.set(check.timeout, self._on_timeout)

    def _make_probe(self, words: list[str]) -> probe.Probe:
        places, check = Places(self._home, self.record.id), self.record.healthcheck
        assert check is not None
        if words[0] == probe.BUILT_IN:
            shared = network_kind(self.record) == HOST
            namespace = None if shared else places.namespace
            return probe.BuiltInProbe(words, namespace, check.timeout)
        config: dict[str, object] = json.loads((places.bundle / "config.json").read_text())
        process = config["process"]
        assert isinstance(process, dict)
        name = f"health-{self._health.probes}"
        return probe.ExecProbe(self.record.shim, self.record.id, {**process, "args": words}, name)

    def _on_answer(self) -> None:
        assert self._probe is not None
        self._selector.unregister(self._probe)
        self._alarms.cancel(self._alarm)
        found, self._probe = self._probe, None
        self._take(passed=found.passed())

    def _on_timeout(self) -> None:
        self._end_probe()
        self._take(passed=False)

    def _end_probe(self) -> None:
        if self._probe is not None:
            self._selector.unregister(self._probe)
            self._probe.abandon()
            self._probe = None

    def _take(self, *, passed: bool) -> None:
        check = self.record.healthcheck
        assert check is not None
        age = time.time() - self.record.started_at
        before, self._health = (
            self._health.status,
            health.after(check, self._health, passed=passed, age=age),
        )
        if self._health.status != before:
            self._publish()
        self._schedule()

    def _publish(self) -> None:
        records = Records.of(self._home)
        with contextlib.suppress(NotFound), records.lock(self.record.id):
            record = records.load(self.record.id)
            if record.state == "running" and record.started_at == self.record.started_at:
                self.record = records.save(record._replace(health=self._health.status))
