"""One entry below `services:`, read into a Service.

Source: Compose specification, 05-services. A key that is not read here is an error that names its path.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmimg_compose import constraints, dotenv, health, probe, runtimes
from wasmimg_compose.container import (
    STOP_GRACE,
    ContainerSpec,
    Healthcheck,
    RestartName,
    RestartPolicy,
)
from wasmimg_compose.creation import check_name, signal_number
from wasmimg_compose.document import placed, read
from wasmimg_compose.model import Build, Condition, Dependency, PullPolicy, Service
from wasmimg_compose.quantities import seconds, whole
from wasmimg_compose.service_limits import limits_of
from wasmimg_compose.service_network import extra_hosts_of, networks_of
from wasmimg_compose.service_storage import mounts_of, ports_of
from wasmimg_images.errors import InvalidInput
from wasmimg_images.reference import Reference
from wasmimg_images.spec import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from wasmimg_compose.document import Node
    from wasmimg_compose.model import Network, Volume

KEYS: Final = (
    "build", "command", "container_name", "cpus", "depends_on", "deploy", "entrypoint", "env_file",
    "environment", "expose", "extra_hosts", "healthcheck", "hostname", "image", "labels",
    "mem_limit", "network_mode", "networks", "pids_limit", "platform", "ports", "profiles",
    "pull_policy", "read_only", "restart", "runtime", "scale", "stdin_open", "stop_grace_period",
    "stop_signal", "tmpfs", "user", "volumes", "working_dir",
)  # fmt: skip
CONDITIONS: Final[dict[str, Condition]] = {
    "service_started": "service_started",
    "service_healthy": "service_healthy",
    "service_completed_successfully": "service_completed_successfully",
}
RESTARTS: Final[dict[str, RestartName]] = {
    "no": "no",
    "false": "no",
    "always": "always",
    "on-failure": "on-failure",
    "unless-stopped": "unless-stopped",
}
#: More containers of one service than an address range of the pool has room for.
MOST_REPLICAS: Final = 1000
POLICIES: Final[dict[str, PullPolicy]] = {
    "missing": "missing",
    "if_not_present": "missing",
    "always": "always",
    "never": "never",
    "build": "build",
}


class Surroundings(NamedTuple):
    """What a service is read with: its project's name, folder, variables, networks and volumes."""

    project: str
    directory: Path
    variables: Mapping[str, str]
    networks: Mapping[str, Network]
    volumes: Mapping[str, Volume]
    services: Collection[str]


def parse_service(name: str, node: Node, around: Surroundings) -> Service:
    """Read one service; InvalidInput names file, line and key path of what is wrong."""
    fields = node.mapping(KEYS)
    build = _build(fields.get("build"), around.directory)
    image = _checked(fields.get("image"), Reference.parse)
    if image is None and build is None:
        raise node.error("a service needs an image or a build")
    spec = _spec(name, fields, around, image or f"{around.project}-{name}")
    for key, rule in constraints.RULES.items():
        placed(fields.get(key, node), rule, spec)
    scale = _scale(fields)
    if spec.name is not None and scale > 1:
        raise fields["container_name"].error("a service with a container_name can't be scaled")
    return Service(
        name=name,
        spec=spec,
        build=build,
        pull_policy=_pull_policy(fields.get("pull_policy")),
        depends_on=_depends_on(fields.get("depends_on"), around.services),
        scale=scale,
        profiles=fields["profiles"].texts() if "profiles" in fields else (),
    )


def _spec(name: str, fields: Mapping[str, Node], around: Surroundings, image: str) -> ContainerSpec:
    def text(key: str) -> str | None:
        return fields[key].text() if key in fields else None

    return ContainerSpec(
        image=image,
        name=_checked(fields.get("container_name"), check_name),
        project=around.project,
        platform=_checked(fields.get("platform"), Platform.parse),
        runtime=_checked(fields.get("runtime"), runtimes.choose),
        entrypoint=_words(fields.get("entrypoint")),
        command=_words(fields.get("command")),
        env=_environment(fields, around),
        workdir=text("working_dir"),
        user=text("user"),
        hostname=text("hostname"),
        labels=_pairs(fields.get("labels"), {}),
        ports=ports_of(fields.get("ports")),
        mounts=mounts_of(
            fields.get("volumes"), fields.get("tmpfs"), around.directory, around.volumes
        ),
        networks=networks_of(name, fields, around.networks),
        extra_hosts=extra_hosts_of(fields.get("extra_hosts")),
        limits=limits_of(fields),
        restart=_restart(fields.get("restart")),
        healthcheck=_healthcheck(fields.get("healthcheck")),
        stop_signal=_checked(fields.get("stop_signal"), signal_number),
        stop_grace=read(fields["stop_grace_period"], seconds)
        if "stop_grace_period" in fields
        else STOP_GRACE,
        read_only="read_only" in fields and fields["read_only"].boolean(),
        interactive="stdin_open" in fields and fields["stdin_open"].boolean(),
    )


def _pull_policy(node: Node | None) -> PullPolicy:
    if node is None:
        return "missing"
    if node.text() not in POLICIES:
        raise node.error(f"{node.text()!r} is none of {', '.join(POLICIES)}")
    return POLICIES[node.text()]


def _words(node: Node | None) -> tuple[str, ...] | None:
    """Read a command: a list as it is, a string split as a shell would."""
    if node is None or node.value is None:
        return None
    if isinstance(node.value, tuple):
        return node.texts()
    try:
        return tuple(shlex.split(node.text()))
    except ValueError as error:
        raise node.error(f"can't be split into words: {error}") from None


def _build(node: Node | None, directory: Path) -> Build | None:
    """Read what `wasmimg build` needs; a Dockerfile is named so that published files load, and not used."""
    if node is None:
        return None
    if not isinstance(node.value, dict):
        return Build((directory / node.text()).resolve())
    fields = node.mapping(("context", "dockerfile", "platforms"))
    context = fields["context"].text() if "context" in fields else "."
    return Build((directory / context).resolve())


def _environment(fields: Mapping[str, Node], around: Surroundings) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    if "env_file" in fields:
        for item in fields["env_file"].texts():
            path = around.directory / item
            try:
                found.update(dotenv.parse(path.read_text(), around.variables, name=item))
            except (OSError, UnicodeDecodeError) as error:
                raise fields["env_file"].error(f"{path}: can't be read: {error}") from None
    found.update(_pairs(fields.get("environment"), around.variables))
    return tuple(found.items())


def _pairs(node: Node | None, variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Read a mapping, or a list of `name=value`; a name alone takes its value from the variables."""
    if node is None:
        return ()
    found: dict[str, str] = {}
    if isinstance(node.value, dict):
        for name, value in node.value.items():
            if value.value is not None:
                found[name] = value.text()
            elif name in variables:
                found[name] = variables[name]
        return tuple(found.items())
    for item in node.sequence():
        name, equals, value_text = item.text().partition("=")
        if equals:
            found[name] = value_text
        elif name in variables:
            found[name] = variables[name]
    return tuple(found.items())


def _depends_on(node: Node | None, services: Collection[str]) -> tuple[Dependency, ...]:
    if node is None:
        return ()
    if isinstance(node.value, dict):
        named = list(node.value.items())
    else:
        named = [(item.text(), item) for item in node.sequence()]
    for name, item in named:
        if name not in services:
            hint = f"there are: {', '.join(sorted(services))}"
            raise item.error(f"no service is called {name!r}", hint=hint)
    return tuple(
        _dependency(name, item) if isinstance(node.value, dict) else Dependency(name)
        for name, item in named
    )


def _dependency(name: str, node: Node) -> Dependency:
    fields = node.mapping(("condition", "required", "restart"))
    condition = fields["condition"].text() if "condition" in fields else "service_started"
    if condition not in CONDITIONS:
        raise fields["condition"].error(f"{condition!r} is none of {', '.join(CONDITIONS)}")
    required = "required" not in fields or fields["required"].boolean()
    return Dependency(name, CONDITIONS[condition], required)


def _checked(node: Node | None, check: Callable[[str], object]) -> str | None:
    """Read a text that is used as it stands, but refused here, where its place is known."""
    if node is None:
        return None
    read(node, check)
    return node.text()


def _scale(fields: Mapping[str, Node]) -> int:
    node = fields.get("scale")
    if "deploy" in fields:
        node = fields["deploy"].mapping(("replicas", "resources")).get("replicas", node)
    if node is None:
        return 1
    if not 0 <= node.integer() <= MOST_REPLICAS:
        raise node.error(f"lies between 0 and {MOST_REPLICAS}")
    return node.integer()


def _restart(node: Node | None) -> RestartPolicy:
    if node is None:
        return RestartPolicy()
    name, _, text = node.text().partition(":")
    maximum = whole(text or "0")
    if name not in RESTARTS or maximum is None or (text and name != "on-failure"):
        raise node.error(f"{node.text()!r} is none of {', '.join(RESTARTS)}, on-failure:N")
    return RestartPolicy(RESTARTS[name], maximum)


def _healthcheck(node: Node | None) -> Healthcheck | None:
    if node is None:
        return None
    fields = node.mapping(
        ("disable", "interval", "retries", "start_interval", "start_period", "test", "timeout")
    )
    if "disable" in fields and fields["disable"].boolean():
        return Healthcheck(("NONE",))
    preset = Healthcheck(_test(fields.get("test")))

    def time(key: str, preset: float) -> float:
        if key not in fields:
            return preset
        return read(fields[key], lambda text: health.period(seconds(text), preset))

    return Healthcheck(
        preset.test,
        time("interval", preset.interval),
        time("timeout", preset.timeout),
        _retries(fields.get("retries"), preset.retries),
        time("start_period", preset.start_period),
        time("start_interval", preset.start_interval),
    )


def _retries(node: Node | None, preset: int) -> int:
    if node is None:
        return preset
    number = node.integer()
    return read(node, lambda _: health.retries(number, preset))


def _test(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    words = node.texts() if isinstance(node.value, tuple) else ("CMD-SHELL", node.text())
    if not words or words[0] not in {"CMD", "CMD-SHELL", "NONE"}:
        raise node.error("the first item must be CMD, CMD-SHELL or NONE")
    if words[0] != "NONE":
        try:
            probe.command(Healthcheck(words))
        except InvalidInput as error:
            raise node.error(error.message, hint=error.hint) from None
    return words
