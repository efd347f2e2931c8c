"""Removing a container whose shim was killed: init, cgroup, runc's state, mounts, its socket."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from wasmimg_images.errors import WasmimgError
from wasmimg_shim import record, rootfs, sandbox, shim_socket
from wasmimg_shim.bundle import Bundle
from wasmimg_shim.hooks import State, run_here
from wasmimg_shim.linux_task import PROGRAM


def remove(bundle: str, container: str) -> None:
    """Remove what the bundle's records name. May be repeated, and takes what is gone for done."""
    found = record.read(bundle)
    if found is not None:
        record.kill(found)
    sandbox.remove_leftovers(bundle)
    if found is not None and found.runc_root:
        _runc_delete(found.runc_root, container)
    if found is not None and found.mounted:
        rootfs.unmount(bundle)
    with suppress(FileNotFoundError), open(f"{bundle}/address") as address:
        shim_socket.remove_dead(address.read().strip().removeprefix("unix://"))
    if found is not None and found.pid and not found.runc_root:
        _tell_of_end(bundle, container)
    record.remove(bundle)


def _tell_of_end(bundle: str, container: str) -> None:
    """Run the poststop hooks, as the shim would have: for a Linux program it is runc who does."""
    with suppress(WasmimgError):
        loaded = Bundle.load(bundle, container)
        state = State.of(loaded).document("stopped")
        for hook in loaded.spec.hooks.poststop:
            with suppress(WasmimgError):
                run_here("poststop", (hook,), state)


def _runc_delete(root: str, container: str) -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    words = [PROGRAM, "--root", root, "delete", "--force", container]
    with suppress(FileNotFoundError):
        pid = os.posix_spawnp(
            PROGRAM, words, os.environ, file_actions=actions, setsigdef=[signal.SIGPIPE]
        )
        os.waitpid(pid, 0)
    os.close(null)
