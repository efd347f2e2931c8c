"""A Compose file, found and read into a Project.

Source: Compose specification, 04-version-and-name, 06-networks, 07-volumes; the file names and the
order of precedence of variables are Docker Compose's.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wasmimg_compose import dotenv, volumes
from wasmimg_compose.collisions import collisions
from wasmimg_compose.document import parse, placed, read
from wasmimg_compose.graph import waves
from wasmimg_compose.interpolate import interpolate
from wasmimg_compose.model import Network, Project, Volume
from wasmimg_compose.network import pool
from wasmimg_compose.network.network import check_name
from wasmimg_compose.service import Surroundings, parse_service
from wasmimg_images.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from wasmimg_compose.document import Node

NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
PROJECT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
SERVICE_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def find(start: Path) -> Path:
    """Look for a Compose file in a folder and those above it; NotFound if there is none."""
    for folder in (start, *start.parents):
        for name in NAMES:
            if (folder / name).is_file():
                return folder / name
    raise NotFound(
        f"no Compose file in {start} or above", hint=f"name one with -f, or add {NAMES[0]}"
    )


def load(
    path: Path,
    environment: Mapping[str, str],
    *,
    name: str | None = None,
    env_file: Path | None = None,
) -> Project:
    """Read a Compose file with its variables; nothing is started or fetched.

    Raises NotFound if the file can't be read, InvalidInput with file, line and key path of whatever
    is malformed or not supported.
    """
    directory = path.resolve().parent
    variables = _variables(directory, environment, env_file)
    unset: list[str] = []

    def replace(text: str) -> str:
        result = interpolate(text, variables)
        unset.extend(result.unset)
        return result.text

    root = parse(_text(path), path.name, replace)
    fields = root.mapping(("name", "networks", "services", "version", "volumes"))
    project = _name(name, variables, fields.get("name"), directory)
    networks = _networks(fields.get("networks"), project)
    named = _volumes(fields.get("volumes"), project)
    services = fields["services"].mapping() if "services" in fields else {}
    around = Surroundings(project, directory, variables, networks, named, services.keys())
    if not services:
        raise root.error("the file has no services")
    for key, node in services.items():
        if not SERVICE_NAME.fullmatch(key):
            raise node.error(f"{key!r} is no name for a service")
    found = Project(
        project,
        directory,
        {key: parse_service(key, node, around) for key, node in services.items()},
        networks,
        named,
        tuple(_warnings(fields, unset)),
    )
    waves(found.needs())
    for service, key, message in collisions(found, found.unprofiled()):
        raise services[service].mapping().get(key, services[service]).error(message)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 text: {error}") from None
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from None


def _variables(
    directory: Path, environment: Mapping[str, str], env_file: Path | None
) -> dict[str, str]:
    """Join the `.env` file and the environment, which wins."""
    path = env_file or directory / ".env"
    if not path.is_file():
        if env_file is not None:
            raise NotFound(f"{env_file}: no such file")
        return dict(environment)
    return {**dotenv.parse(_text(path), environment, name=path.name), **environment}


def _name(
    chosen: str | None, variables: Mapping[str, str], node: Node | None, directory: Path
) -> str:
    name = chosen or variables.get("COMPOSE_PROJECT_NAME") or (node.text() if node else None)
    if name is None:
        name = re.sub(r"[^a-z0-9_-]", "", directory.name.lower()).lstrip("_-") or "default"
    if not PROJECT_NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no project name",
            hint="use lower-case letters, digits, - and _, a letter or digit first",
        )
    return name


def _warnings(fields: Mapping[str, Node], unset: list[str]) -> list[str]:
    warnings = [
        f"the variable {name} is not set; an empty string stands for it"
        for name in dict.fromkeys(unset)
    ]
    if "version" in fields:
        warnings.append("the key 'version' is obsolete and has no effect")
    return warnings


def _networks(node: Node | None, project: str) -> dict[str, Network]:
    found: dict[str, Network] = {}
    for key, value in (node.mapping() if node else {}).items():
        fields = value.mapping(
            (
                "driver",
                "driver_opts",
                "enable_ipv6",
                "external",
                "internal",
                "ipam",
                "labels",
                "name",
            )
        )
        external = "external" in fields and fields["external"].boolean()
        driver = fields["driver"].text() if "driver" in fields else "bridge"
        if driver != "bridge":
            raise fields["driver"].error(f"{driver!r} is not supported", hint="bridge is")
        default = key if external else f"{project}_{key}"
        found[key] = Network(
            key,
            read(fields["name"], check_name)
            if "name" in fields
            else placed(value, check_name, default),
            external,
            "internal" in fields and fields["internal"].boolean(),
            _subnet(fields.get("ipam")),
        )
    found.setdefault("default", Network("default", check_name(f"{project}_default")))
    _check_overlaps(node, found.values())
    return found


def _check_overlaps(node: Node | None, networks: Collection[Network]) -> None:
    ranges = [(each.key, pool.parse(each.subnet)) for each in networks if each.subnet]
    for (one, first), (other, second) in itertools.combinations(ranges, 2):
        if node is not None and first.overlaps(second):
            raise node.mapping()[other].error(f"its subnet {second} overlaps with {one}'s, {first}")


def _subnet(node: Node | None) -> str | None:
    if node is None:
        return None
    fields = node.mapping(("config", "driver"))
    configs = fields["config"].sequence() if "config" in fields else ()
    for further in configs[1:]:
        raise further.error("a network has one subnet here")
    return _range(configs[0]) if configs else None


def _range(node: Node) -> str:
    config = node.mapping(("gateway", "subnet"))
    if "subnet" not in config:
        raise node.error("subnet is missing")
    subnet = read(config["subnet"], pool.parse)
    gateway = str(subnet.network_address + 1)
    if "gateway" in config and config["gateway"].text() != gateway:
        raise config["gateway"].error(f"the gateway of {subnet} is {gateway} here")
    return str(subnet)


def _volumes(node: Node | None, project: str) -> dict[str, Volume]:
    found: dict[str, Volume] = {}
    for key, value in (node.mapping() if node else {}).items():
        fields = value.mapping(("driver", "external", "labels", "name"))
        external = "external" in fields and fields["external"].boolean()
        driver = fields["driver"].text() if "driver" in fields else "local"
        if driver != "local":
            raise fields["driver"].error(f"{driver!r} is not supported", hint="local is")
        default = key if external else f"{project}_{key}"
        name = (
            read(fields["name"], volumes.check_name)
            if "name" in fields
            else placed(value, volumes.check_name, default)
        )
        found[key] = Volume(key, name, external)
    return found
