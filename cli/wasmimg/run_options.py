"""The options of `wasmimg run` turned into a ContainerSpec."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from wasmimg_compose.container import (
    DEFAULT_NETWORK,
    Attachment,
    ContainerSpec,
    Limits,
    RestartName,
    RestartPolicy,
)
from wasmimg_compose.fields import is_list
from wasmimg_compose.quantities import size, whole
from wasmimg_images.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from wasmimg_compose.container import Mount, Port

POLICIES: Mapping[str, RestartName] = {
    "no": "no",
    "always": "always",
    "on-failure": "on-failure",
    "unless-stopped": "unless-stopped",
}


class Asked(NamedTuple):
    """What click has parsed, read by type."""

    options: Mapping[str, object]

    def text(self, name: str) -> str | None:
        """Give a string option."""
        value = self.options[name]
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Give an option that may be repeated."""
        values = self.options[name]
        return tuple(str(value) for value in values) if is_list(values) else ()

    def number(self, name: str) -> float | None:
        """Give a numeric option."""
        value = self.options[name]
        return value if isinstance(value, int | float) else None

    def flag(self, name: str) -> bool:
        """Give a switch."""
        return self.options[name] is True


def spec_of(
    asked: Asked, image: str, args: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> ContainerSpec:
    """Turn options into a spec; InvalidInput names the option that can't be read."""
    return ContainerSpec(
        image=image,
        name=asked.text("name"),
        platform=asked.text("platform"),
        runtime=asked.text("runtime"),
        entrypoint=_entrypoint(asked),
        command=tuple(args) or None,
        env=tuple(_environment(asked, folder, environ)),
        workdir=asked.text("workdir"),
        user=asked.text("user"),
        hostname=asked.text("hostname"),
        labels=tuple(_pairs("label", asked.texts("label"), "=")),
        ports=tuple(_ports(asked)),
        mounts=tuple(_mounts(asked, folder)),
        networks=tuple(Attachment(name) for name in asked.texts("network") or (DEFAULT_NETWORK,)),
        extra_hosts=tuple(_pairs("add-host", asked.texts("add_host"), ":")),
        limits=_limits(asked),
        restart=restart_policy(asked.text("restart") or "no"),
        stop_signal=asked.text("stop_signal"),
        read_only=asked.flag("read_only"),
        interactive=asked.flag("interactive"),
        auto_remove=asked.flag("rm"),
    )


def restart_policy(text: str) -> RestartPolicy:
    """Read a restart policy, `on-failure:3` with its limit."""
    name, colon, given = text.partition(":")
    maximum = whole(given) if colon else 0
    if name not in POLICIES or maximum is None or (colon and name != "on-failure"):
        raise InvalidInput(
            f"--restart {text}: not a policy", hint=f"one of {', '.join(POLICIES)}, on-failure:N"
        )
    return RestartPolicy(POLICIES[name], maximum)


def _environment(
    asked: Asked, folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for name in asked.texts("env_file"):
        yield from _env_file(folder / name, environ)
    for text in asked.texts("env"):
        yield from _variable(text, environ)


def _env_file(path: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Read lines of NAME=VALUE as Docker does: no quotes, comments only on lines of their own."""
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"--env-file {path}: not UTF-8 text: {error}") from error
    except OSError as error:
        raise NotFound(f"--env-file {path}: {error.strerror}") from error
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            yield from _variable(line.lstrip(), environ)


def _variable(text: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Read NAME=VALUE; a name alone takes the caller's value, and is nothing without one."""
    name, equals, value = text.partition("=")
    if not name or " " in name:
        raise InvalidInput(f"variable {text!r}: not NAME=VALUE")
    if equals:
        yield name, value
    elif name in environ:
        yield name, environ[name]


def _pairs(option: str, texts: Sequence[str], separator: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, found, value = text.partition(separator)
        if not name or (separator == ":" and not found):
            raise InvalidInput(f"--{option} {text}: not NAME{separator}VALUE")
        yield name, value


def _ports(asked: Asked) -> Iterator[Port]:
    texts = asked.texts("publish")
    if texts:
        from wasmimg_compose.ports import parse_port

        for text in texts:
            yield from parse_port(text)


def _mounts(asked: Asked, folder: Path) -> Iterator[Mount]:
    if asked.texts("volume") or asked.texts("tmpfs"):
        from wasmimg_compose.mounts import parse_mount, parse_tmpfs

        yield from (parse_mount(text, folder) for text in asked.texts("volume"))
        yield from (parse_tmpfs(text) for text in asked.texts("tmpfs"))


def _entrypoint(asked: Asked) -> tuple[str, ...] | None:
    text = asked.text("entrypoint")
    try:
        return None if text is None else tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidInput(f"--entrypoint {text}: {error}") from None


def _limits(asked: Asked) -> Limits:
    memory, pids = asked.text("memory"), asked.number("pids_limit")
    try:
        limit = None if memory is None else size(memory)
    except InvalidInput as error:
        raise InvalidInput(f"--memory {error.message}", hint=error.hint) from None
    return Limits(limit, asked.number("cpus"), None if pids in {None, 0, -1} else int(pids or 0))
