"""A container as it is on disk: its record, its folder, its lock.

The record is the journal: its state is written before each effect, and every effect's traces are
named after the container's id, so that whoever reads the record next can complete or undo it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from wasmimg_compose.container_document import read_healthcheck, read_port, read_spec
from wasmimg_compose.fields import Fields, plain
from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.private import make_private

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from wasmimg_compose.container import ContainerSpec, Healthcheck, Port
    from wasmimg_images.home import Home

#: starting and removing are journal entries: where nobody holds the lock, who wrote it was killed.
State = Literal["created", "starting", "running", "exited", "removing"]
Health = Literal["none", "starting", "healthy", "unhealthy"]
SHORT_ID: Final = 12


class Stored(NamedTuple):
    """The manifest in the store that a container was made of, and its platform."""

    media_type: str
    digest: str
    size: int
    platform: str


class Endpoint(NamedTuple):
    """One network that the container is on: `interface` is inside, `link` the host's end."""

    network: str
    address: str
    prefix: int
    gateway: str
    interface: str
    link: str
    names: tuple[str, ...]


class AnonymousVolume(NamedTuple):
    """A volume that the image asks for and nobody named; it goes with `rm -v` or `--rm`."""

    name: str
    target: str


class Record(NamedTuple):
    """One container. Times are seconds since the epoch, 0 for never; `wanted` is what the user asked.

    `image` is what the spec's reference meant when the container was created. `ports` are the
    spec's with the host's ports filled in while it runs, `healthcheck` the spec's or the image's. `out_of_memory` says that the
    kernel killed a process of its last run for the memory limit.
    """

    id: str
    name: str
    spec: ContainerSpec
    image: Stored
    created_at: float
    state: State = "created"
    wanted: Literal["running", "stopped"] = "stopped"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    restarts: int = 0
    health: Health = "none"
    ports: tuple[Port, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    volumes: tuple[AnonymousVolume, ...] = ()
    shim: str = ""
    healthcheck: Healthcheck | None = None
    stop_signal: int = 15
    out_of_memory: bool = False

    @property
    def short_id(self) -> str:
        """The first twelve digits, as tables show it."""
        return self.id[:SHORT_ID]

    @property
    def address(self) -> str:
        """Its address on its first network, "" without one."""
        return self.endpoints[0].address if self.endpoints else ""

    @property
    def is_half_made(self) -> bool:
        """Whether somebody was about to change it: seen under the lock, that somebody is dead."""
        return self.state in {"starting", "removing"}


def new_id() -> str:
    """Draw an id: 64 hexadecimal digits."""
    return os.urandom(32).hex()


class Records(NamedTuple):
    """All containers of one home."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> Records:
        """Take the home's folder of containers."""
        return cls(home.containers)

    def folder(self, container: str) -> Path:
        """Where a container keeps its record, log and writable layer."""
        return self.root / container

    def log(self, container: str) -> Path:
        """The append-only file that both of its streams end in."""
        return self.folder(container) / "log"

    @contextlib.contextmanager
    def lock(self, container: str = "", *, wait: bool = True) -> Generator[bool]:
        """Hold a container's lock, or that of the whole folder; gives False where it is taken.

        NotFound if the container was removed meanwhile.
        """
        folder = self.folder(container) if container else self.root
        if not container:
            make_private(folder)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"no such container: {container[:SHORT_ID]}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def save(self, record: Record) -> Record:
        """Write the record so that a reader sees the old or the new one, whole."""
        target = self.folder(record.id) / "record.json"
        draft = target.with_name(f".record.{os.getpid()}")
        try:
            draft.write_bytes(json.dumps(plain(record)).encode())
            draft.replace(target)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        return record

    def load(self, container: str) -> Record:
        """Read one record by its full id; NotFound, InvalidInput."""
        path = self.folder(container) / "record.json"
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no such container: {container[:SHORT_ID]}") from None
        return read_record(Fields.parse(raw, str(path)))

    def all(self) -> list[Record]:
        """Every container, oldest first; those being removed at this moment are left out."""
        found: list[Record] = []
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return found
        for name in names:
            with contextlib.suppress(NotFound):
                found.append(self.load(name))
        return sorted(found, key=lambda record: record.created_at)

    def find(self, name: str) -> Record:
        """Look a container up by id, name or unique prefix of its id; NotFound, InvalidInput."""
        records = self.all()
        for record in records:
            if name in {record.id, record.name}:
                return record
        matching = [record for record in records if name and record.id.startswith(name)]
        match matching:
            case [record]:
                return record
            case []:
                raise NotFound(f"no such container: {name}", hint="`wasmimg ps -a` lists them")
            case _:
                raise InvalidInput(f"{name}: {len(matching)} containers have ids that start so")

    def drop(self, container: str) -> None:
        """Delete the container's folder; the record goes last, so that a killed drop is seen."""
        folder = self.folder(container)
        for name in os.listdir(folder) if folder.exists() else ():
            if name == "record.json":
                continue
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def read_record(fields: Fields) -> Record:
    """Read what plain() made of a record; InvalidInput where it is something else."""
    return Record(
        id=fields.text("id"),
        name=fields.text("name"),
        spec=read_spec(fields.object("spec")),
        image=_stored(fields.object("image")),
        created_at=fields.number("created_at"),
        state=fields.choice("state", get_args(State)),
        wanted="running" if fields.text("wanted") == "running" else "stopped",
        pid=fields.integer("pid"),
        exit_code=fields.integer("exit_code"),
        error=fields.text("error"),
        started_at=fields.number("started_at"),
        finished_at=fields.number("finished_at"),
        restarts=fields.integer("restarts"),
        health=fields.choice("health", get_args(Health)),
        ports=tuple(read_port(port) for port in fields.objects("ports")),
        endpoints=tuple(_endpoint(endpoint) for endpoint in fields.objects("endpoints")),
        volumes=tuple(
            AnonymousVolume(volume.text("name"), volume.text("target"))
            for volume in fields.objects("volumes")
        ),
        shim=fields.text("shim"),
        healthcheck=read_healthcheck(fields.object_or_none("healthcheck")),
        stop_signal=fields.integer("stop_signal"),
        out_of_memory=fields.flag("out_of_memory"),
    )


def _stored(fields: Fields) -> Stored:
    return Stored(
        fields.text("media_type"),
        fields.text("digest"),
        fields.integer("size"),
        fields.text("platform"),
    )


def _endpoint(fields: Fields) -> Endpoint:
    return Endpoint(
        fields.text("network"),
        fields.text("address"),
        fields.integer("prefix"),
        fields.text("gateway"),
        fields.text("interface"),
        fields.text("link"),
        fields.texts("names"),
    )
