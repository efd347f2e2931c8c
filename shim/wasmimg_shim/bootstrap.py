"""What containerd writes to the start verb's standard input, and how it is answered.

Up to containerd 2.2 that is a google.protobuf.Any of runtime options, or nothing; from 2.3 on it is
BootstrapParams. Both are made of the same wire types, so neither can be told by its shape.
"""

from __future__ import annotations

from typing import NamedTuple

from wasmimg_shim import messages  # noqa: TC001  # wire reads the annotations
from wasmimg_shim.protobuf import MalformedMessage
from wasmimg_shim.wire import decode, encode

#: Of the two versions of the Task service, which differ in their names only, the one to be called:
#: so every containerd runs the start verb for every container of a pod.
_TASK_VERSION = 2


class Extension(NamedTuple):
    """containerd.runtime.bootstrap.v1.Extension."""

    value: messages.Any | None = None


class BootstrapParams(NamedTuple):
    """containerd.runtime.bootstrap.v1.BootstrapParams."""

    instance_id: str = ""
    namespace: str = ""
    log_level: int = 0
    containerd_version: str = ""
    containerd_ttrpc_address: str = ""
    containerd_grpc_address: str = ""
    containerd_binary: str = ""
    extensions: tuple[Extension, ...] = ()
    socket_dir: str = ""


class BootstrapResult(NamedTuple):
    """containerd.runtime.bootstrap.v1.BootstrapResult, without what it may leave out."""

    version: int = 0
    address: str = ""
    protocol: str = ""


def answer(params: BootstrapParams, address: str) -> bytes:
    """Return what the start verb prints.

    Who sent BootstrapParams gets the message that belongs to it. Everybody else takes the address
    alone, which means version 2 over ttrpc: containerd 1.6 knows nothing else.
    """
    if not params.instance_id:
        return address.encode()
    return encode(BootstrapResult(_TASK_VERSION, address, "ttrpc"))


def parse(stdin: bytes, container: str, namespace: str) -> BootstrapParams:
    """Read standard input; whatever is odd about it, the arguments still say enough.

    It counts as BootstrapParams only if it names the same container as the arguments do.
    """
    try:
        params = decode(BootstrapParams, stdin)
    except MalformedMessage:
        return BootstrapParams()
    if (params.instance_id, params.namespace) != (container, namespace):
        return BootstrapParams()
    return params
