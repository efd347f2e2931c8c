"""A container's health check carried out: one probe after the other, and what they add up to.

The rule is health.py's, a single probe is probe.py's.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from wasmimg_compose import health, probe, trouble
from wasmimg_compose.container import HOST
from wasmimg_compose.fields import Fields
from wasmimg_compose.places import Places
from wasmimg_compose.record import Records
from wasmimg_compose.starting import network_kind
from wasmimg_images.errors import NotFound, WasmimgError
from wasmimg_shim import client

if TYPE_CHECKING:
    from wasmimg_compose.alarms import Alarm
    from wasmimg_compose.container import Healthcheck
    from wasmimg_compose.loop import Share
    from wasmimg_compose.record import Record
    from wasmimg_images.home import Home


class Probing:
    """The probes of one running container; its record says how they turned out."""

    def __init__(self, home: Home, record: Record, check: Healthcheck, share: Share) -> None:
        self._home, self._record, self._check, self._share = home, record, check, share
        self._health = health.Health()
        self._probe: probe.Probe | None = None
        self._alarm: Alarm | None = None
        self._publishing: Alarm | None = None
        self._schedule()

    def close(self) -> None:
        """End the probe that is under way, and begin no other."""
        self._share.cancel(self._alarm)
        self._share.cancel(self._publishing)
        self._end_probe()

    def _schedule(self) -> None:
        delay = health.next_delay(self._check, self._health)
        self._alarm = self._share.set(delay, self._begin)

    def _begin(self) -> None:
        try:
            begun = self._make(probe.command(self._check))
        except (WasmimgError, OSError, client.RpcError):
            self._take(passed=False)
            return
        self._probe = begun
        self._share.register(begun, lambda: self._on_answer(begun))
        self._alarm = self._share.set(self._check.timeout, self._on_timeout)

    def _make(self, words: list[str]) -> probe.Probe:
        places = Places(self._home, self._record.id)
        if words[0] == probe.BUILT_IN:
            shared = network_kind(self._record) == HOST
            namespace = None if shared else places.namespace
            return probe.BuiltInProbe(words, namespace, self._check.timeout)
        path = places.bundle / "config.json"
        process = Fields.parse(path.read_bytes(), str(path)).object("process").members
        name = f"health-{self._health.probes}"
        arguments = {**process, "args": words}
        return probe.ExecProbe(self._record.shim, self._record.id, arguments, name)

    def _on_answer(self, answered: probe.Probe) -> None:
        self._share.unregister(answered)
        self._share.cancel(self._alarm)
        self._probe = None
        self._take(passed=answered.passed())

    def _on_timeout(self) -> None:
        self._end_probe()
        self._take(passed=False)

    def _end_probe(self) -> None:
        ending, self._probe = self._probe, None
        if ending is not None:
            self._share.unregister(ending)
            ending.abandon()

    def _take(self, *, passed: bool) -> None:
        before = self._health.status
        age = time.time() - self._record.started_at
        self._health = health.after(self._check, self._health, passed=passed, age=age)
        if self._health.status != before:
            self._publish(trouble.next_pause())
        self._schedule()

    def _publish(self, pause: float) -> None:
        """Record the status; on a full disk again after a pause, and then after a longer one."""
        self._share.cancel(self._publishing)
        records = Records.of(self._home)
        try:
            with contextlib.suppress(NotFound), records.lock(self._record.id):
                record = records.load(self._record.id)
                if record.state == "running" and record.started_at == self._record.started_at:
                    records.save(record._replace(health=self._health.status))
        except OSError as error:
            trouble.note(error)
            longer = trouble.next_pause(pause)
            self._publishing = self._share.set(pause, lambda: self._publish(longer))
