"""Which imports a wasip1 module may have: WASI preview 1 and WasmEdge's socket extension.

WASI preview 1: witx of snapshot 1. WasmEdge: lib/host/wasi, names since 0.12; the guest crates
import both the plain names and those that end in _v2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from wasmimg_images.errors import InvalidInput

if TYPE_CHECKING:
    from wasmimg_images.wasm import Import, Module

MODULE: Final = "wasi_snapshot_preview1"
PREVIEW1: Final = frozenset(
    re.findall(
        r"\w+",
        """
    args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get
    fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags
    fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread
    fd_prestat_get fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync
    fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times path_link
    path_open path_readlink path_remove_directory path_rename path_symlink path_unlink_file
    poll_oneoff proc_exit proc_raise sched_yield random_get sock_accept sock_recv sock_send
    sock_shutdown
    """,
    ),
)
_SOCKETS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    sock_open sock_bind sock_listen sock_accept sock_connect sock_recv sock_recv_from sock_send
    sock_send_to sock_getlocaladdr sock_getpeeraddr
    """,
    ),
)
WASMEDGE: Final = (
    _SOCKETS
    | {f"{name}_v2" for name in _SOCKETS}
    | {"sock_getsockopt", "sock_setsockopt", "sock_getaddrinfo", "epoll_oneoff"}
)


def is_known(wanted: Import) -> bool:
    """Whether hosts of this project, and WasmEdge, have it."""
    if wanted.module:
        known = wanted.name in PREVIEW1 or wanted.name in WASMEDGE
        return wanted.module == MODULE and wanted.kind == "func" and known
    return wanted.name.startswith("wasi:") or wanted.kind == "type"


def check_module(module: Module, what: str, *, function: str | None = None) -> None:
    """Refuse a module that no host could start, naming every import that nobody has.

    `function` is the export that the entrypoint names instead of WASI's own.
    """
    unknown = [wanted for wanted in module.imports if not is_known(wanted)]
    if unknown:
        names = ", ".join(f"{w.module}.{w.name}" if w.module else w.name for w in unknown)
        raise InvalidInput(
            f"{what} imports what no host has: {names}",
            hint=f"build it for wasm32-wasip1; only {MODULE} and its sockets are there",
        )
    if module.kind == "component":
        return
    wanted_export = function or "_start"
    if not any(e.name == wanted_export and e.kind == "func" for e in module.exports):
        raise InvalidInput(
            f"{what} exports no function {wanted_export}: nothing to run",
            hint="is it a library? build a program with a main function",
        )
