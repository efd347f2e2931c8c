"""The delete verb: clean up after a shim, whether it ended well or was killed.

containerd runs it after every container, so the usual case, nothing left to do, imports little.
"""

from __future__ import annotations

import os
import time

from wasmimg_shim import protobuf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmimg_shim.flags import Flags

#: As containerd's own shim says when it can't know better: 128 + SIGKILL.
_EXIT_STATUS = 137
_STATUS_FIELD, _TIME_FIELD = 2, 3
_NANOSECONDS = 1_000_000_000


def delete(flags: Flags) -> bytes:
    """Remove what is left of a container; return an encoded DeleteResponse."""
    bundle = flags.bundle or os.getcwd()
    try:
        names = os.listdir(bundle)
    except FileNotFoundError:
        names = []
    if any(name.startswith("wasmimg.") for name in names):
        from wasmimg_shim.leftovers import remove

        remove(bundle, flags.id)
    seconds, nanoseconds = divmod(time.time_ns(), _NANOSECONDS)
    exited_at = protobuf.encode_field(1, seconds) + protobuf.encode_field(2, nanoseconds)
    return protobuf.encode_field(_STATUS_FIELD, _EXIT_STATUS) + protobuf.encode_field(
        _TIME_FIELD, exited_at
    )
