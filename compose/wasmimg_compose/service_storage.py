"""The `ports`, `volumes` and `tmpfs` of a service, in their short and their long forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmimg_compose.constraints import check_target
from wasmimg_compose.container import Mount, Port
from wasmimg_compose.mounts import host_path, parse_mount, parse_tmpfs
from wasmimg_compose.ports import parse_port
from wasmimg_compose.quantities import size
from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wasmimg_compose.document import Node
    from wasmimg_compose.model import Volume

KINDS: Final = ("bind", "volume", "tmpfs")


def ports_of(node: Node | None) -> tuple[Port, ...]:
    """Read `ports`; InvalidInput names the entry."""
    if node is None:
        return ()
    found: list[Port] = []
    for item in node.sequence():
        try:
            found.extend(
                parse_port(_long_port(item) if isinstance(item.value, dict) else item.text())
            )
        except InvalidInput as error:
            if error.message.startswith(item.file):
                raise
            raise item.error(error.message, hint=error.hint) from None
    return tuple(found)


def _long_port(node: Node) -> str:
    """Write a port of the long form in the short one."""
    fields = node.mapping(("host_ip", "mode", "name", "protocol", "published", "target"))
    if "target" not in fields:
        raise node.error("target is missing")
    address = fields["host_ip"].text() if "host_ip" in fields else ""
    published = fields["published"].text() if "published" in fields else ""
    protocol = fields["protocol"].text() if "protocol" in fields else "tcp"
    address = f"[{address}]" if ":" in address else address
    front = f"{address}:{published}:" if address else f"{published}:" if published else ""
    return f"{front}{fields['target'].text()}/{protocol}"


def mounts_of(
    volumes: Node | None, tmpfs: Node | None, directory: Path, named: Mapping[str, Volume]
) -> tuple[Mount, ...]:
    """Read `volumes` and `tmpfs`; a named volume must stand below the file's `volumes`."""
    found: list[Mount] = []
    for item in volumes.sequence() if volumes else ():
        try:
            mount = (
                _long_mount(item, directory)
                if isinstance(item.value, dict)
                else parse_mount(item.text(), directory)
            )
        except InvalidInput as error:
            if error.message.startswith(item.file):
                raise
            raise item.error(error.message, hint=error.hint) from None
        _check_target(item, mount)
        if mount.kind == "volume" and mount.source:
            if mount.source not in named:
                raise item.error(
                    f"no volume is called {mount.source!r}", hint="name it below the file's volumes"
                )
            mount = mount._replace(source=named[mount.source].name)
        found.append(mount)
    found.extend(_tmpfs(tmpfs))
    return tuple(found)


def _tmpfs(node: Node | None) -> Iterator[Mount]:
    if node is None:
        return
    for item in node.value if isinstance(node.value, tuple) else (node,):
        try:
            yield parse_tmpfs(item.text())
        except InvalidInput as error:
            raise item.error(error.message, hint=error.hint) from None


def _check_target(node: Node, mount: Mount) -> None:
    try:
        check_target(mount.target)
    except InvalidInput as error:
        raise node.error(error.message, hint=error.hint) from None


def _long_mount(node: Node, directory: Path) -> Mount:
    fields = node.mapping(("bind", "read_only", "source", "target", "tmpfs", "type", "volume"))
    for key in ("type", "target"):
        if key not in fields:
            raise node.error(f"{key} is missing")
    kind = fields["type"].text()
    target = fields["target"].text()
    source = fields["source"].text() if "source" in fields else ""
    read_only = "read_only" in fields and fields["read_only"].boolean()
    if not target.startswith("/"):
        raise fields["target"].error("must be an absolute path")
    match kind:
        case "bind":
            if "bind" in fields:
                fields["bind"].mapping(("create_host_path", "propagation"))
            return Mount("bind", host_path(source, directory), target, read_only)
        case "volume":
            inner = fields["volume"].mapping(("nocopy",)) if "volume" in fields else {}
            nocopy = "nocopy" in inner and inner["nocopy"].boolean()
            return Mount("volume", source, target, read_only, ("nocopy",) if nocopy else ())
        case "tmpfs":
            inner = fields["tmpfs"].mapping(("mode", "size")) if "tmpfs" in fields else {}
            options = [f"size={size(inner['size'].text())}"] if "size" in inner else []
            options += [f"mode={inner['mode'].text()}"] if "mode" in inner else []
            return parse_tmpfs(":".join((target, ",".join(options))))._replace(read_only=read_only)
        case _:
            raise fields["type"].error(f"{kind!r} is none of {', '.join(KINDS)}")
