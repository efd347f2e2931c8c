"""A project written as a Compose file again, with everything filled in: `compose config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import yaml

if TYPE_CHECKING:
    from wasmimg_compose.container import ContainerSpec, Healthcheck, Mount, Port
    from wasmimg_compose.model import Project, Service


def render(project: Project) -> str:
    """Write the project as YAML that reads back as the same project."""
    document: dict[str, object] = {
        "name": project.name,
        "services": {name: _service(project, s) for name, s in sorted(project.services.items())},
        "networks": {
            key: _named(n.name, external=n.external)
            | ({"internal": True} if n.internal else {})
            | ({"ipam": {"config": [{"subnet": n.subnet}]}} if n.subnet else {})
            for key, n in sorted(project.networks.items())
        },
    }
    if project.volumes:
        document["volumes"] = {
            key: _named(v.name, external=v.external) for key, v in sorted(project.volumes.items())
        }
    return yaml.safe_dump(_escaped(document), sort_keys=False, allow_unicode=True)


def _escaped(value: object) -> object:
    """Double the dollar signs, so that reading the text again gives the same values."""
    match value:
        case str():
            return value.replace("$", "$$")
        case dict():
            items = cast("dict[str, object]", value).items()
            return {key: _escaped(inner) for key, inner in items}
        case list():
            return [_escaped(item) for item in cast("list[object]", value)]
        case _:
            return value


def _named(name: str, *, external: bool) -> dict[str, object]:
    return {"name": name, "external": True} if external else {"name": name}


def _service(project: Project, service: Service) -> dict[str, object]:
    spec = service.spec
    fields: dict[str, object] = {"image": spec.image}
    if service.build:
        fields["build"] = {"context": str(service.build.context)}
    if service.depends_on:
        fields["depends_on"] = {
            d.service: {"condition": d.condition, "required": d.required}
            for d in service.depends_on
        }
    if service.scale != 1:
        fields["scale"] = service.scale
    if service.profiles:
        fields["profiles"] = list(service.profiles)
    if service.pull_policy != "missing":
        fields["pull_policy"] = service.pull_policy
    fields |= _scalars(spec) | _lists(spec) | _networks(project, spec) | _volumes(project, spec)
    if spec.healthcheck:
        fields["healthcheck"] = _healthcheck(spec.healthcheck)
    return fields


def _scalars(spec: ContainerSpec) -> dict[str, object]:
    restart: str = spec.restart.name
    if spec.restart.maximum:
        restart += f":{spec.restart.maximum}"
    values: dict[str, object] = {
        "container_name": spec.name,
        "platform": spec.platform,
        "runtime": spec.runtime,
        "working_dir": spec.workdir,
        "user": spec.user,
        "hostname": spec.hostname,
        "restart": restart if restart != "no" else None,
        "mem_limit": spec.limits.memory,
        "cpus": spec.limits.cpus,
        "pids_limit": spec.limits.pids,
        "stop_signal": spec.stop_signal,
        "stop_grace_period": _duration(spec.stop_grace),
        "read_only": spec.read_only or None,
        "stdin_open": spec.interactive or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _lists(spec: ContainerSpec) -> dict[str, object]:
    fields: dict[str, object] = {}
    if spec.entrypoint is not None:
        fields["entrypoint"] = list(spec.entrypoint)
    if spec.command is not None:
        fields["command"] = list(spec.command)
    for key, pairs in (
        ("environment", spec.env), ("labels", spec.labels), ("extra_hosts", spec.extra_hosts)
    ):  # fmt: skip
        if pairs:
            fields[key] = dict(pairs)
    if spec.ports:
        fields["ports"] = [_port(port) for port in spec.ports]
    return fields


def _port(port: Port) -> dict[str, object]:
    fields: dict[str, object] = {"target": port.container_port, "protocol": port.protocol}
    if port.host_port:
        fields["published"] = str(port.host_port)
    if port.host_ip != "0.0.0.0":
        fields["host_ip"] = port.host_ip
    return fields


def _networks(project: Project, spec: ContainerSpec) -> dict[str, object]:
    keys = {network.name: key for key, network in project.networks.items()}
    if any(attachment.network not in keys for attachment in spec.networks):
        return {"network_mode": spec.networks[0].network}
    return {
        "networks": {
            keys[a.network]: {"aliases": list(a.aliases[1:])}
            | ({"ipv4_address": a.address} if a.address else {})
            for a in spec.networks
        }
    }


def _volumes(project: Project, spec: ContainerSpec) -> dict[str, object]:
    keys = {volume.name: key for key, volume in project.volumes.items()}
    return {"volumes": [_mount(mount, keys) for mount in spec.mounts]} if spec.mounts else {}


def _mount(mount: Mount, keys: dict[str, str]) -> dict[str, object]:
    fields: dict[str, object] = {"type": mount.kind, "target": mount.target}
    if mount.source:
        fields["source"] = keys.get(mount.source, mount.source)
    if mount.read_only:
        fields["read_only"] = True
    if mount.kind == "volume" and "nocopy" in mount.options:
        fields["volume"] = {"nocopy": True}
    if mount.kind == "tmpfs" and mount.options:
        fields["tmpfs"] = dict(option.split("=", 1) for option in mount.options if "=" in option)
    return fields


def _healthcheck(check: Healthcheck) -> dict[str, object]:
    if check.test == ("NONE",):
        return {"disable": True}
    return {
        "test": list(check.test),
        "interval": _duration(check.interval),
        "timeout": _duration(check.timeout),
        "retries": check.retries,
        "start_period": _duration(check.start_period),
        "start_interval": _duration(check.start_interval),
    }


def _duration(value: float) -> str:
    return f"{value:g}s" if value >= 1 or not value else f"{value * 1000:g}ms"
