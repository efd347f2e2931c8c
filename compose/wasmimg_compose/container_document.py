"""A ContainerSpec as JSON and back: what a record on disk keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from wasmimg_compose.container import (
    Attachment,
    ContainerSpec,
    Healthcheck,
    Limits,
    Mount,
    MountKind,
    Port,
    Protocol,
    RestartName,
    RestartPolicy,
)

if TYPE_CHECKING:
    from wasmimg_compose.fields import Fields


def read_spec(fields: Fields) -> ContainerSpec:
    """Read what fields.plain() made of a spec; InvalidInput where it is something else."""
    return ContainerSpec(
        image=fields.text("image"),
        name=fields.text_or_none("name"),
        project=fields.text("project"),
        platform=fields.text_or_none("platform"),
        runtime=fields.text_or_none("runtime"),
        entrypoint=fields.texts_or_none("entrypoint"),
        command=fields.texts_or_none("command"),
        env=fields.pairs("env"),
        workdir=fields.text_or_none("workdir"),
        user=fields.text_or_none("user"),
        hostname=fields.text_or_none("hostname"),
        labels=fields.pairs("labels"),
        ports=tuple(read_port(port) for port in fields.objects("ports")),
        mounts=tuple(_mount(mount) for mount in fields.objects("mounts")),
        networks=tuple(_attachment(network) for network in fields.objects("networks")),
        extra_hosts=fields.pairs("extra_hosts"),
        limits=_limits(fields.object("limits")),
        restart=_restart(fields.object("restart")),
        healthcheck=read_healthcheck(fields.object_or_none("healthcheck")),
        stop_signal=fields.text_or_none("stop_signal"),
        stop_grace=fields.number("stop_grace"),
        read_only=fields.flag("read_only"),
        interactive=fields.flag("interactive"),
        auto_remove=fields.flag("auto_remove"),
    )


def read_port(fields: Fields) -> Port:
    """Read one published port."""
    return Port(
        fields.integer("container_port"),
        fields.integer("host_port"),
        fields.text("host_ip"),
        fields.choice("protocol", get_args(Protocol)),
    )


def _mount(fields: Fields) -> Mount:
    return Mount(
        fields.choice("kind", get_args(MountKind)),
        fields.text("source"),
        fields.text("target"),
        fields.flag("read_only"),
        fields.texts("options"),
    )


def _attachment(fields: Fields) -> Attachment:
    return Attachment(
        fields.text("network"), fields.texts("aliases"), fields.text_or_none("address")
    )


def _limits(fields: Fields) -> Limits:
    return Limits(
        memory=None if fields.members.get("memory") is None else fields.integer("memory"),
        cpus=None if fields.members.get("cpus") is None else fields.number("cpus"),
        pids=None if fields.members.get("pids") is None else fields.integer("pids"),
    )


def _restart(fields: Fields) -> RestartPolicy:
    return RestartPolicy(fields.choice("name", get_args(RestartName)), fields.integer("maximum"))


def read_healthcheck(fields: Fields | None) -> Healthcheck | None:
    """Read a health check, None where there is none."""
    if fields is None:
        return None
    return Healthcheck(
        fields.texts("test"),
        fields.number("interval"),
        fields.number("timeout"),
        fields.integer("retries"),
        fields.number("start_period"),
        fields.number("start_interval"),
    )
