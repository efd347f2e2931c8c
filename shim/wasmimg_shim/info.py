"""The answer to -info: who this shim is and what it does by itself (containerd 2.0 and later)."""

from __future__ import annotations

from wasmimg_shim import RELEASE, protobuf

_NAME, _VERSION = 1, 2


def runtime_info() -> bytes:
    """Return an encoded containerd.types.RuntimeInfo.

    By hand, since `messages` would be imported for nothing else. No mount type is announced: the
    shim mounts what CreateTaskRequest lists, of the types that mount(8) knows.
    """
    version = protobuf.encode_field(1, RELEASE)
    return protobuf.encode_field(_NAME, "io.containerd.wasmimg.v1") + protobuf.encode_field(
        _VERSION, version
    )
