"""What an engine is to the rest of the shim: compile a module, map its code, run a guest.

Adapters live beside this module, one per engine, and are imported only by `load_engine`, in the
process that forks the others (importing an engine takes most of a container's start-up time).
Nothing here or in an adapter may start a thread before `Instance.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wasmimg_images.errors import NotFound

if TYPE_CHECKING:
    from wasmimg_shim.guest import Guest

__all__ = ["DEFAULT", "STACK_BYTES", "Engine", "Instance", "load_engine"]

DEFAULT = "wasmtime"
#: of the thread that runs a guest; only pages that are touched cost memory
STACK_BYTES = 16 << 20


class Instance(Protocol):
    """A loaded module that knows its guest; all but `run` may be called from another thread."""

    def run(self) -> int:
        """Open the guest's folders, instantiate, run to the end and return the status, 0 to 255.

        A trap is reported on fd 2 and gives 134, as an abort does natively. To be called in a
        thread with a stack of STACK_BYTES: a guest may use half of it, and is stopped by a trap.
        """
        ...

    def signal(self, number: int) -> bool:
        """Hand signal `number` to a guest that listens to signals; False if it does not."""
        ...

    def stop_listening(self) -> None:
        """Close the guest's listening sockets; the guest sees listeners where nobody connects."""
        ...

    def owes_answers(self) -> bool:
        """Whether an accepted connection has unread input, or input read and nothing sent since."""
        ...


class Engine(Protocol):
    """Compiles and runs core WebAssembly modules that use WASI preview 1."""

    @property
    def name(self) -> str:
        """The engine's name in settings: `wasmtime`."""
        ...

    @property
    def version(self) -> str:
        """The engine library's own version."""
        ...

    def fingerprint(self) -> str:
        """All that compiled code depends on but the module: engine, version, settings, CPU."""
        ...

    def compile(self, wasm: bytes) -> bytes:
        """Compile a core module to code that `load` maps.

        InvalidInput says what is broken. Runs code of the image's author through a compiler:
        call it in a child (`codecache.compile_child`).
        """
        ...

    def load(self, code_fd: int, guest: Guest) -> Instance:
        """Map code made by `compile` and bind the guest's imports; opens no file of the guest.

        InvalidInput names an import or a function that is missing. The code must come from our
        own cache: it is executed as it is.
        """
        ...


def load_engine(name: str = DEFAULT) -> Engine:
    """Import and configure the engine called `name`; NotFound if there is none."""
    match name:
        case "wasmtime":
            from wasmimg_shim.engine.wasmtime import Wasmtime

            return Wasmtime()
        case _:
            raise NotFound(f"no engine is called {name!r}", hint="the engines are: wasmtime")
