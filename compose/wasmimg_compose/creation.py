"""Making a container's record: the spec checked against the image it names."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from typing import TYPE_CHECKING, Final

from wasmimg_compose import bundle, constraints, health, probe, runtimes
from wasmimg_compose.container import Healthcheck
from wasmimg_compose.quantities import whole
from wasmimg_compose.record import AnonymousVolume, Record, Records, Stored, new_id
from wasmimg_images.errors import HostError, InvalidInput
from wasmimg_images.image import Image, select
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.snapshot import Snapshots
from wasmimg_images.spec import Platform

if TYPE_CHECKING:
    from wasmimg_compose.container import ContainerSpec
    from wasmimg_images.home import Home

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NANOSECONDS: Final = 1_000_000_000


def require_root() -> None:
    """Raise HostError, before anything is made, for a user who may not make containers."""
    if os.geteuid() != 0:
        raise HostError("containers need root", hint="run the same command with sudo")


def create(home: Home, spec: ContainerSpec) -> Record:
    """Check a spec, unpack its image's layers, and write the record."""
    from wasmimg_compose.starting import runs_wasm

    require_root()
    check(spec)
    store, reference = Store(home.store), Reference.parse(spec.image)
    image = select(store, store.resolve(reference), _platforms(spec))
    bundle.arguments(image.config, spec)
    if runs_wasm(image):
        constraints.check_wasm(spec)
    for target in image.config.volumes:
        constraints.check_target(target)
    healthcheck = _healthcheck(spec, image)
    if healthcheck is not None:
        probe.command(healthcheck)
    Snapshots(home.snapshots).layers(store, image)
    identity = new_id()
    descriptor = image.descriptor
    record = Record(
        id=identity,
        name=spec.name or f"{_last_part(reference)}-{os.urandom(3).hex()}",
        spec=spec,
        image=Stored(
            descriptor.media_type,
            str(descriptor.digest),
            descriptor.size,
            str(image.config.platform),
        ),
        created_at=time.time(),
        healthcheck=healthcheck,
        stop_signal=signal_number(spec.stop_signal or image.config.stop_signal or "SIGTERM"),
        volumes=_anonymous(identity, spec, image),
    )
    return _write(Records.of(home), record)


def check(spec: ContainerSpec) -> None:
    """Refuse a spec that no image could make a container of; InvalidInput."""
    if spec.name is not None:
        check_name(spec.name)
    constraints.check(spec)
    if spec.auto_remove and spec.restart.name != "no":
        raise InvalidInput(
            "--rm and a restart policy exclude each other",
            hint="a removed container can't be started again: leave one of them out",
        )
    runtimes.choose(spec.runtime)


def _write(records: Records, record: Record) -> Record:
    with records.lock():
        for other in records.all():
            if other.name == record.name:
                raise InvalidInput(
                    f"the name {record.name} is taken by container {other.short_id}",
                    hint=f"`wasmimg rm {record.name}`, or choose another name",
                )
        folder = records.folder(record.id)
        folder.mkdir(mode=0o700)
        try:
            return records.save(record)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def check_name(name: str) -> None:
    """Refuse what can't be a container's name; InvalidInput."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a container",
            hint="letters, digits, _ . and -, at least two, a letter or digit first",
        )


def signal_number(name: str) -> int:
    """Read a signal: `SIGTERM`, `TERM`, `15`; InvalidInput."""
    text = name.upper().removeprefix("SIG")
    above, _, digits = text.rpartition("RTMIN+")
    number = whole(digits)
    if number is not None and not above:
        number += int(signal.SIGRTMIN) if digits != text else 0
        if 0 < number <= signal.SIGRTMAX:
            return number
    try:
        return int(signal.Signals[f"SIG{text}"])
    except KeyError:
        raise InvalidInput(f"there is no signal {name!r}") from None


def _platforms(spec: ContainerSpec) -> tuple[Platform, ...] | None:
    return None if spec.platform is None else (Platform.parse(spec.platform),)


def _last_part(reference: Reference) -> str:
    return reference.repository.rpartition("/")[2]


def _anonymous(identity: str, spec: ContainerSpec, image: Image) -> tuple[AnonymousVolume, ...]:
    """List the places that the image, or a mount without a source, wants a volume for."""
    taken = {mount.target.rstrip("/") for mount in spec.mounts}
    wanted = [target for target in image.config.volumes if target.rstrip("/") not in taken]
    wanted += [mount.target for mount in spec.mounts if mount.kind == "volume" and not mount.source]
    return tuple(
        AnonymousVolume(f"{identity}-{number}", target) for number, target in enumerate(wanted)
    )


def _healthcheck(spec: ContainerSpec, image: Image) -> Healthcheck | None:
    """Take the spec's health check, else the image's; NONE is none."""
    found = spec.healthcheck
    declared = image.config.healthcheck
    if found is None and declared is not None and declared.test:
        found = Healthcheck(
            declared.test,
            declared.interval / NANOSECONDS,
            declared.timeout / NANOSECONDS,
            declared.retries,
            declared.start_period / NANOSECONDS,
        )
    if found is None or found.test[:1] == ("NONE",):
        return None
    preset = Healthcheck(())
    try:
        return found._replace(
            interval=health.period(found.interval, preset.interval),
            timeout=health.period(found.timeout, preset.timeout),
            retries=health.retries(found.retries, preset.retries),
            start_period=health.period(found.start_period, preset.start_period),
        )
    except InvalidInput as error:
        raise InvalidInput(f"{spec.image}: {error.message}", hint=error.hint) from None
