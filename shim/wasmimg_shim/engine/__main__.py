"""A development aid: run one `.wasm` in this process, without a sandbox.

    python -m wasmimg_shim.engine [--env NAME=VALUE]… [--dir GUEST=HOST[:ro]]… [--call FUNCTION]
                                  FILE.wasm [ARG]…

The guest uses this process's network, standard streams and the folders named by `--dir`, nothing
else; `--env NAME` passes a variable on. Signals reach it as in a container: `/dev/wasmimg/signal`
is there if some `--dir` has the guest path `/`. Compiled code is kept in WASMIMG_CACHE/code.

    python -m wasmimg_shim.engine --env PORT=8080 --dir /=/tmp/root demo.wasm
"""

from __future__ import annotations

import hashlib
import os
import sys

from wasmimg_images.errors import InvalidInput, WasmimgError
from wasmimg_images.home import Home
from wasmimg_shim.codecache import CodeCache, cache_key, compile_child
from wasmimg_shim.engine import load_engine
from wasmimg_shim.guest import Guest, Preopen, WasmProgram


def main(argv: list[str]) -> int:
    """Run what the arguments ask for; returns the exit status."""
    path, guest = _parse(argv)
    engine = load_engine()
    with open(path, "rb") as module:
        key = cache_key(engine, hashlib.file_digest(module, "sha256").hexdigest())
        cache = CodeCache(os.path.join(Home.from_environ(os.environ).cache, "code"))
        code_fd = cache.lookup(key)
        if code_fd is None:
            code_fd = cache.store(key, compile_child(engine, module.fileno()).wait())
    program = WasmProgram(engine, code_fd, guest)
    program.load()
    return program.run()


def _parse(argv: list[str]) -> tuple[str, Guest]:
    env: list[str] = []
    preopens: list[Preopen] = []
    function: str | None = None
    while argv and argv[0].startswith("--"):
        match argv:
            case ["--env", entry, *rest]:
                env.append(entry if "=" in entry else f"{entry}={os.environ.get(entry, '')}")
            case ["--dir", mapping, *rest]:
                preopens.append(_preopen(mapping))
            case ["--call", name, *rest]:
                function = name
            case _:
                raise InvalidInput(f"unknown option {argv[0]}", hint="see the module's docstring")
        argv = rest
    if not argv:
        raise InvalidInput("no module is named", hint="see the module's docstring")
    return argv[0], Guest(tuple(argv), tuple(env), "/", function, tuple(preopens))


def _preopen(mapping: str) -> Preopen:
    guest_path, equals, host_path = mapping.partition("=")
    if not equals:
        raise InvalidInput(f"--dir {mapping}: give it as GUEST=HOST or GUEST=HOST:ro")
    read_only = host_path.endswith(":ro")
    return Preopen(guest_path, host_path.removesuffix(":ro"), not read_only)


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except (WasmimgError, OSError) as error:
        sys.stderr.write(f"wasmimg: {error}\n")
        status = error.exit_code if isinstance(error, WasmimgError) else 1
    os._exit(status)  # the worker thread may still be in the guest's code
