"""`wasmimg.yaml`: what a project says about its image. Every key is optional, unknown ones are errors.

name: orders                 # the module becomes /orders.wasm; default: the binary's name
source: service              # a Cargo package or a .wasm file, relative to this file
bin: orders                  # which binary, where a package or workspace has several
entrypoint: [/orders.wasm]
args: [--verbose]
env: {PORT: 8080}            # or a list of NAME=value
ports: [8080, 53/udp]
user: 1000:1000
workdir: /
labels: {org.opencontainers.image.licenses: Apache-2.0}
files: {/srv: public}        # path in the image: file or folder beside this file
volumes: [/data]
healthcheck: {test: [CMD, wasmimg-probe, http, "http://127.0.0.1:8080/"], interval: 5s}
stop_signal: SIGTERM
optimize: false              # run wasm-opt -Oz
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_builder.yaml_place import YamlValue
from wasmimg_images.config import Healthcheck
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = "wasmimg.yaml"
KEYS: Final = (
    "name",
    "source",
    "bin",
    "entrypoint",
    "args",
    "env",
    "ports",
    "user",
    "workdir",
    "labels",
    "files",
    "volumes",
    "healthcheck",
    "stop_signal",
    "optimize",
)
#: What Compose, Dockerfiles, image configurations and cargo call our keys.
_ELSEWHERE: Final = {
    "binary": "bin",
    "cmd": "args",
    "command": "args",
    "environment": "env",
    "expose": "ports",
    "exposed_ports": "ports",
    "health_check": "healthcheck",
    "path": "source",
    "stopsignal": "stop_signal",
    "working_dir": "workdir",
}
_HEALTH_KEYS: Final = ("test", "interval", "timeout", "start_period", "retries")
_MAX_SIZE: Final = 1 << 20
_MAX_PORT: Final = 65535
_PORT: Final = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SIGNAL: Final = re.compile(r"SIG[A-Z0-9+-]+|[0-9]{1,2}")


class ImageFile(NamedTuple):
    """A file or folder beside the project file, and the absolute path that it gets in the image."""

    target: str
    source: str
    where: str


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A parsed project file; nothing set is an empty value."""

    name: str | None = None
    source: str | None = None
    bin: str | None = None
    entrypoint: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    user: str = ""
    workdir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    files: tuple[ImageFile, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    stop_signal: str | None = None
    optimize: bool = False


def read(path: Path) -> ProjectFile:
    """Read a project file; raises InvalidInput with line and column."""
    try:
        raw = path.read_bytes()
        if len(raw) > _MAX_SIZE:
            raise InvalidInput(f"{path} has {len(raw)} bytes: no project file is so large")
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: byte {error.start} is not UTF-8") from error
    return parse(text, str(path))


def parse(text: str, file: str = NAME) -> ProjectFile:
    """Parse a project file's text; `file` names it in errors."""
    root = YamlValue.parse(text, file)
    if root is None:
        return ProjectFile()
    found = root.fields(KEYS, _ELSEWHERE)

    def maybe_text(key: str) -> str | None:
        return found[key].text() if key in found else None

    return ProjectFile(
        name=_name(found["name"]) if "name" in found else None,
        source=maybe_text("source"),
        bin=maybe_text("bin"),
        entrypoint=_command(found.get("entrypoint")),
        args=_command(found.get("args")),
        env=_env(found.get("env")),
        ports=tuple(_port(item) for item in found["ports"].items()) if "ports" in found else (),
        user=maybe_text("user") or "",
        workdir=_absolute(found["workdir"]) if "workdir" in found else "/",
        labels=found["labels"].text_map() if "labels" in found else {},
        files=_files(found.get("files")),
        volumes=tuple(_absolute(v) for v in found["volumes"].items()) if "volumes" in found else (),
        healthcheck=_healthcheck(found["healthcheck"]) if "healthcheck" in found else None,
        stop_signal=_signal(found["stop_signal"]) if "stop_signal" in found else None,
        optimize=found["optimize"].switch() if "optimize" in found else False,
    )


def _name(value: YamlValue) -> str:
    name = value.text()
    if not _FILE_NAME.fullmatch(name):
        raise value.wrong(f"{name!r} is no name: letters, digits, - _ .")
    return name.removesuffix(".wasm")


def _command(value: YamlValue | None) -> tuple[str, ...]:
    """Read a list, or one word; a line of words would need a shell, which no image has."""
    if value is None:
        return ()
    if value.is_list():
        return value.texts()
    word = value.text()
    if any(c.isspace() for c in word):
        raise value.wrong("several words", hint=f"as a list: [{', '.join(word.split())}]")
    return (word,)


def _env(value: YamlValue | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if value.is_mapping():
        pairs = [f"{name}={text}" for name, text in value.text_map().items()]
        bad = next((pair for pair in pairs if pair.startswith("=")), None)
        if bad is not None:
            raise value.wrong("a variable needs a name")
        return tuple(sorted(pairs))
    for item in value.items():
        name, equals, _ = item.text().partition("=")
        if not name or not equals:
            raise item.wrong(f"{item.text()!r}: expected NAME=value")
    return value.texts()


def _port(value: YamlValue) -> str:
    found = _PORT.fullmatch(value.text())
    if not found or not 1 <= int(found[1]) <= _MAX_PORT:
        raise value.wrong(
            f"{value.text()!r} is no port",
            hint="PORT or PORT/udp; it is published when the container is run",
        )
    return f"{int(found[1])}/{found[2] or 'tcp'}"


def _absolute(value: YamlValue) -> str:
    path = value.text()
    if not path.startswith("/") or ".." in path.split("/"):
        raise value.wrong(f"{path!r}: expected an absolute path without '..'")
    return posixpath.normpath(path)


def _files(value: YamlValue | None) -> tuple[ImageFile, ...]:
    if value is None:
        return ()
    found: list[ImageFile] = []
    for target, key, source in value.pairs():
        path = source.text()
        if path.startswith("/") or ".." in path.split("/"):
            raise source.wrong(
                f"{path!r} is not below the project",
                hint="name it relative to the project file, without '..'",
            )
        found.append(ImageFile(_absolute(key), path, source.where))
        del target
    return tuple(found)


def _healthcheck(value: YamlValue) -> Healthcheck:
    found = value.fields(_HEALTH_KEYS)
    if "test" not in found:
        raise value.wrong("healthcheck needs a test")
    test = found["test"]
    command = test.texts() if test.is_list() else ("CMD-SHELL", test.text())
    if not command or command[0] not in {"CMD", "CMD-SHELL", "NONE"}:
        raise test.wrong("a test is a list that starts with CMD, CMD-SHELL or NONE, or one line")

    def time(key: str) -> int:
        return found[key].duration() if key in found else 0

    return Healthcheck(
        command,
        time("interval"),
        time("timeout"),
        time("start_period"),
        found["retries"].integer() if "retries" in found else 0,
    )


def _signal(value: YamlValue) -> str:
    name = value.text()
    if not _SIGNAL.fullmatch(name):
        raise value.wrong(f"{name!r} is no signal", hint="as in SIGTERM or 15")
    return name
