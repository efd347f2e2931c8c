"""A bundle: a folder with a container's configuration, `config.json`, read into `spec` values.

Everything about the shape of the document is checked here, so that what follows can rely on it.
Unknown members are ignored, as the specification demands (runtime-spec, "Extensibility").
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple, TypeVar

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_shim.json_place import Place
from wasmimg_shim.spec import (
    Capabilities,
    Cpu,
    Device,
    DeviceRule,
    Hook,
    Hooks,
    IdMapping,
    Linux,
    Memory,
    Mount,
    Namespace,
    Process,
    Resources,
    Rlimit,
    Seccomp,
    SeccompArgument,
    SeccompRule,
    Spec,
    User,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = "config.json"
#: Docker's are about 30 kB; a document above this is no configuration
LARGEST = 16 << 20

Value = TypeVar("Value")


class Bundle(NamedTuple):
    """A container's folder and configuration; `id` is the container's name for its runtime."""

    path: str
    id: str
    spec: Spec
    raw: bytes

    @classmethod
    def load(cls, path: str, container_id: str | None = None) -> Bundle:
        """Read a bundle; the id is the folder's name unless given.

        Raises NotFound without a `config.json`, InvalidInput for anything malformed in it.
        """
        path = os.path.abspath(path)
        config = os.path.join(path, CONFIG)
        try:
            with open(config, "rb") as stream:
                raw = stream.read(LARGEST + 1)
        except FileNotFoundError:
            raise NotFound(f"{config}: no such file", hint="is this a bundle?") from None
        if len(raw) > LARGEST:
            raise InvalidInput(f"{config}: larger than {LARGEST >> 20} MiB")
        return cls(path, container_id or os.path.basename(path), parse(raw, config), raw)

    @property
    def rootfs(self) -> str:
        """The root file system's absolute path on the host."""
        return os.path.normpath(os.path.join(self.path, self.spec.root_path))


def parse(raw: bytes, name: str = CONFIG) -> Spec:
    """Read a configuration; `name` stands before places in error messages."""
    try:
        document: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{name}: not a JSON object")
    top = Place(name, document)
    root = top.member("root")
    return Spec(
        oci_version=top.member("ociVersion").text(),
        root_path=_filled(root.member("path")),
        root_readonly=root.member("readonly").flag(),
        process=_process(top.member("process")),
        hostname=top.member("hostname").text(""),
        domainname=top.member("domainname").text(""),
        mounts=_each(top.member("mounts"), _mount),
        linux=_linux(top.member("linux")),
        hooks=_hooks(top.member("hooks")),
        annotations=top.member("annotations").pairs(),
    )


def _each(place: Place, read: Callable[[Place], Value]) -> tuple[Value, ...]:
    return tuple(read(item) for item in place.items())


def _filled(place: Place) -> str:
    text = place.text()
    if not text:
        raise InvalidInput(f"{place.path}: empty")
    return text


def _absolute(place: Place) -> str:
    text = place.text()
    if not text.startswith("/"):
        raise InvalidInput(f"{place.path}: {text!r} is not an absolute path")
    return text


def _process(place: Place) -> Process:
    user = place.member("user")
    mask = user.member("umask")
    cwd = place.member("cwd")
    return Process(
        args=place.member("args").texts(),
        env=place.member("env").texts(),
        cwd="/" if cwd.value is None else _absolute(cwd),
        user=User(
            uid=user.member("uid").natural(0),
            gid=user.member("gid").natural(0),
            umask=None if mask.value is None else mask.natural() & 0o777,
            additional_gids=_each(user.member("additionalGids"), Place.natural),
        ),
        capabilities=_capabilities(place.member("capabilities")),
        rlimits=_each(place.member("rlimits"), _rlimit),
        no_new_privileges=place.member("noNewPrivileges").flag(),
        oom_score_adj=place.member("oomScoreAdj").number(),
        terminal=place.member("terminal").flag(),
    )


def _capabilities(place: Place) -> Capabilities:
    return Capabilities(
        *(frozenset(place.member(name).texts()) for name in Capabilities._fields),
    )


def _rlimit(place: Place) -> Rlimit:
    return Rlimit(
        place.member("type").text(),
        place.member("soft").integer(),
        place.member("hard").integer(),
    )


def _mount(place: Place) -> Mount:
    return Mount(
        # runtime-spec 1.1: a relative destination is taken from "/"
        destination=os.path.join("/", _filled(place.member("destination"))),
        type=place.member("type").text(""),
        source=place.member("source").text(""),
        options=place.member("options").texts(),
    )


def _linux(place: Place) -> Linux:
    seccomp = place.member("seccomp")
    return Linux(
        namespaces=_each(place.member("namespaces"), _namespace),
        uid_mappings=_each(place.member("uidMappings"), _id_mapping),
        gid_mappings=_each(place.member("gidMappings"), _id_mapping),
        devices=_each(place.member("devices"), _device),
        cgroups_path=place.member("cgroupsPath").text(""),
        resources=_resources(place.member("resources")),
        sysctl=place.member("sysctl").pairs(),
        masked_paths=_each(place.member("maskedPaths"), _absolute),
        readonly_paths=_each(place.member("readonlyPaths"), _absolute),
        rootfs_propagation=place.member("rootfsPropagation").text(""),
        seccomp=None if seccomp.value is None else _seccomp(seccomp),
    )


def _namespace(place: Place) -> Namespace:
    return Namespace(place.member("type").text(), place.member("path").text(""))


def _id_mapping(place: Place) -> IdMapping:
    return IdMapping(
        place.member("containerID").natural(),
        place.member("hostID").natural(),
        place.member("size").natural(),
    )


def _device(place: Place) -> Device:
    return Device(
        path=_absolute(place.member("path")),
        type=place.member("type").text(),
        major=place.member("major").natural(0),
        minor=place.member("minor").natural(0),
        file_mode=place.member("fileMode").natural(0o666),
        uid=place.member("uid").natural(0),
        gid=place.member("gid").natural(0),
    )


def _resources(place: Place) -> Resources:
    memory, cpu = place.member("memory"), place.member("cpu")
    return Resources(
        devices=_each(place.member("devices"), _device_rule),
        memory=Memory(
            limit=memory.member("limit").number(),
            reservation=memory.member("reservation").number(),
            swap=memory.member("swap").number(),
            swappiness=memory.member("swappiness").number(),
            disable_oom_killer=memory.member("disableOOMKiller").flag(),
        ),
        cpu=Cpu(
            shares=cpu.member("shares").number(),
            quota=cpu.member("quota").number(),
            period=cpu.member("period").number(),
            cpus=cpu.member("cpus").text(""),
            mems=cpu.member("mems").text(""),
        ),
        pids_limit=place.member("pids").member("limit").number(),
        blkio_weight=place.member("blockIO").member("weight").number(),
        unified=place.member("unified").pairs(),
    )


def _device_rule(place: Place) -> DeviceRule:
    major, minor = place.member("major").number(), place.member("minor").number()
    return DeviceRule(
        allow=place.member("allow").flag(),
        type=place.member("type").text("") or "a",
        # -1 stands for every number, as in Docker's own rules
        major=None if major == -1 else major,
        minor=None if minor == -1 else minor,
        access=place.member("access").text("") or "rwm",
    )


def _seccomp(place: Place) -> Seccomp:
    return Seccomp(
        default_action=place.member("defaultAction").text(),
        default_errno=place.member("defaultErrnoRet").number(),
        architectures=place.member("architectures").texts(),
        flags=place.member("flags").texts(),
        rules=_each(place.member("syscalls"), _seccomp_rule),
    )


def _seccomp_rule(place: Place) -> SeccompRule:
    return SeccompRule(
        names=place.member("names").texts(),
        action=place.member("action").text(),
        errno=place.member("errnoRet").number(),
        arguments=_each(place.member("args"), _seccomp_argument),
    )


def _seccomp_argument(place: Place) -> SeccompArgument:
    return SeccompArgument(
        number=place.member("index").natural(),
        value=place.member("value").integer(),
        op=place.member("op").text(),
        value_two=place.member("valueTwo").integer(0),
    )


def _hooks(place: Place) -> Hooks:
    names = ("prestart", "createRuntime", "createContainer", "startContainer")
    return Hooks(*(_each(place.member(name), _hook) for name in (*names, "poststart", "poststop")))


def _hook(place: Place) -> Hook:
    timeout = place.member("timeout")
    if timeout.value is not None and timeout.integer() <= 0:
        raise InvalidInput(f"{timeout.path}: not more than 0 seconds")
    return Hook(
        path=_absolute(place.member("path")),
        args=place.member("args").texts(),
        env=place.member("env").texts(),
        timeout=timeout.number(),
    )
