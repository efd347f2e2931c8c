"""Starting a container: the recipe, from its record to a running process.

Every step leaves traces that are named after the id, and teardown.py undoes them all; so a failed
or killed start needs no list of what it got to.
"""

from __future__ import annotations

import json
import os
import resource
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import accounts, bundle, hostfiles, shims
from wasmimg_compose.container import HOST, NONE, Mount
from wasmimg_compose.held import Held, name_sockets
from wasmimg_compose.hostfiles import HostFiles
from wasmimg_compose.network.networks import Networks
from wasmimg_compose.places import Places
from wasmimg_compose.record import Record, Records, Stored
from wasmimg_compose.reservation import Reservation, reserve
from wasmimg_compose.rootfs import Rootfs
from wasmimg_compose.volumes import Volumes
from wasmimg_images.digest import Digest
from wasmimg_images.errors import HostError, NotFound
from wasmimg_images.image import Image, load
from wasmimg_images.layout import Store
from wasmimg_images.snapshot import Snapshots
from wasmimg_images.spec import Descriptor
from wasmimg_shim.seccomp_profile import default_profile, document

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_compose.record import Endpoint
    from wasmimg_images.home import Home

#: As containerd's service file sets for its containers; never more than we have ourselves.
OPEN_FILES: Final = 1 << 20
#: What is there where the kernel counts swap: control groups v1 with its option, or v2.
SWAP_FILES: Final = ("memory/memory.memsw.limit_in_bytes", "cgroup.controllers")


class Stdio(NamedTuple):
    """Where the streams go: paths of FIFOs or files, "" for none.

    `before_start` is called with the shim's address when the container is made and waits for its
    start: who wants to see it end asks then.
    """

    stdin: str
    stdout: str
    stderr: str
    before_start: Callable[[str], None]


class Started(NamedTuple):
    """A running container, and what its supervisor holds for it."""

    record: Record
    held: Held


def start(home: Home, record: Record, stdio: Stdio | None) -> Started:
    """Start the container; the caller holds its lock, and tears down if this raises."""
    records, places = Records.of(home), Places(home, record.id)
    image = stored_image(home, record.image)
    reservations = _reserve(home, record)
    held = Held(tuple(reservation.socket for reservation in reservations))
    try:
        record = records.save(
            record._replace(
                state="starting",
                wanted="running",
                error="",
                ports=tuple(reservation.port for reservation in reservations),
            )
        )
        rootfs = Rootfs(places.rootfs, places.folder)
        rootfs.mount(Snapshots(home.snapshots).layers(Store(home.store), image))
        write_bundle(home, record, image, rootfs)
        # The shim takes as long as the network does; neither needs the other until Create.
        with shims.Shims(home).starting(record.id, places.bundle) as shim:
            record = records.save(record._replace(endpoints=_connect(home, record)))
            for reservation in reservations:
                reservation.listen()
            held = held._replace(names=name_sockets(places.namespace) if record.endpoints else ())
            host_files(record).write(places.folder)
            record = records.save(record._replace(shim=shim()))
        record = _launch(home, record, stdio)
    except BaseException:
        held.close()
        raise
    return Started(record, held)


def _reserve(home: Home, record: Record) -> list[Reservation]:
    """Take the published ports; a container of ours that has one is named instead of its keeper."""
    if network_kind(record):
        return []  # nothing to redirect: it is on the host itself, or nowhere
    try:
        return reserve(record.spec.ports)
    except HostError as error:
        wanted = {(port.host_port, port.protocol) for port in record.spec.ports}
        for other in Records.of(home).all():
            for port in other.ports:
                if (port.host_port, port.protocol) in wanted and other.id != record.id:
                    raise HostError(
                        f"port {port.host_port}/{port.protocol} is in use by container {other.name}",
                        hint="publish another port, or stop that container",
                    ) from error
        raise


def stored_image(home: Home, stored: Stored) -> Image:
    """Read the image a container was made of; NotFound once it was removed."""
    descriptor = Descriptor(stored.media_type, Digest.parse(stored.digest), stored.size)
    try:
        return load(Store(home.store), descriptor)
    except NotFound as error:
        raise NotFound(
            f"the container's image {descriptor.digest.short} is not here any more",
            hint="pull or build it again",
        ) from error


def network_kind(record: Record) -> str:
    """Tell whether it shares the host's network, has none, or is on bridges ("")."""
    names = {attachment.network for attachment in record.spec.networks}
    if HOST in names:
        return HOST
    return NONE if not names or NONE in names else ""


def _connect(home: Home, record: Record) -> tuple[Endpoint, ...]:
    if network_kind(record):
        return ()
    names = (record.name, record.short_id, hostname(record))
    return Networks.of(home).connect(
        record.id, record.spec.networks, tuple(dict.fromkeys(names)), record.ports
    )


def hostname(record: Record) -> str:
    """Tell what the container calls itself."""
    return record.spec.hostname or record.short_id


def write_bundle(home: Home, record: Record, image: Image, rootfs: Rootfs) -> None:
    """Write config.json; what it mounts from the host is made or filled before."""
    places, spec = Places(home, record.id), record.spec
    account = accounts.resolve(
        rootfs.mountpoint, spec.user if spec.user is not None else image.config.user
    )
    cwd = bundle.working_directory(image.config, spec)
    rootfs.make_folder(cwd, account.uid, account.gid)
    kind = network_kind(record)
    is_wasm = runs_wasm(image)
    placement = bundle.Placement(
        rootfs=str(rootfs.mountpoint),
        hostname=hostname(record),
        account=account,
        cgroup=places.cgroup,
        network={HOST: None, NONE: ""}.get(kind, str(places.namespace)),
        mounts=[*hostfiles.mounts(places.folder), *_mounts(home, record, rootfs)],
        seccomp=document(default_profile(bundle.CAPABILITIES)),
        open_files=min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], OPEN_FILES),
        is_wasm=is_wasm,
        counts_swap=any(os.path.exists(f"/sys/fs/cgroup/{name}") for name in SWAP_FILES),
    )
    config = bundle.config(image.config, spec, placement)
    (places.bundle / "config.json").write_text(json.dumps(config))


def runs_wasm(image: Image) -> bool:
    """Tell from the image whether a Wasm engine runs it: its platform, or the compat annotation."""
    variant = image.manifest.annotations.get("module.wasm.image/variant", "")
    handler = image.manifest.annotations.get("run.oci.handler", "")
    return image.config.platform.architecture.startswith("wasm") or bool(variant or handler)


def host_files(record: Record) -> HostFiles:
    """Say what the container's hosts, resolv.conf and hostname shall be."""
    entries = [(address, name) for name, address in record.spec.extra_hosts]
    entries += [(endpoint.address, hostname(record)) for endpoint in record.endpoints]
    return HostFiles(hostname(record), entries, responder=bool(record.endpoints))


def _mounts(
    home: Home, record: Record, rootfs: Rootfs
) -> list[bundle.BindMount | bundle.TmpfsMount]:
    """Turn the spec's mounts and the anonymous volumes into the bundle's."""
    volumes, found = Volumes.of(home), list[bundle.BindMount | bundle.TmpfsMount]()
    named = [mount for mount in record.spec.mounts if mount.kind != "volume" or mount.source]
    for mount in (*named, *_anonymous(record)):
        match mount.kind:
            case "tmpfs":
                found.append(bundle.TmpfsMount(mount.target, mount.read_only, mount.options))
            case "bind":
                if not os.path.exists(mount.source):
                    raise NotFound(f"{mount.source}: no such file, to mount at {mount.target}")
                found.append(bundle.BindMount(mount.source, mount.target, mount.read_only))
            case "volume":
                origin = None if "nocopy" in mount.options else mount.target
                volumes.fill(mount.source, rootfs.mountpoint, origin)
                source = str(volumes.path(mount.source))
                found.append(bundle.BindMount(source, mount.target, mount.read_only))
    return found


def _anonymous(record: Record) -> list[Mount]:
    return [Mount("volume", volume.name, volume.target) for volume in record.volumes]


def _launch(home: Home, record: Record, stdio: Stdio | None) -> Record:
    places, records = Places(home, record.id), Records.of(home)
    log = places.log.as_uri()
    stdin, stdout, stderr = ("", log, log) if stdio is None else stdio[:3]
    places.log.touch()
    with shims.task(record.shim) as task:
        pid = task.create(record.id, str(places.bundle), stdin=stdin, stdout=stdout, stderr=stderr)
        if stdio is not None:
            stdio.before_start(record.shim)
        task.start(record.id)
    return records.save(
        record._replace(
            state="running",
            pid=pid,
            started_at=time.time(),
            finished_at=0.0,
            exit_code=0,
            out_of_memory=False,
            health="starting" if record.healthcheck else "none",
        )
    )
