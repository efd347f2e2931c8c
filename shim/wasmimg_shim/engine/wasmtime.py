"""The wasmtime adapter: configuration, compiled code by file descriptor, host functions, traps.

The Python bindings are used for what happens once a run; host functions are defined through the
C API directly, which costs a tenth per call. `ctypes` lets go of the interpreter's lock while the
guest runs and takes it for each host call.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import platform
import traceback
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import _ffi as ffi

from wasmimg_images.errors import CannotInvoke, InvalidInput
from wasmimg_shim.engine import STACK_BYTES
from wasmimg_shim.wasi.binding import Callback, bind, prepare
from wasmimg_shim.wasi.function import Exit, Trap
from wasmimg_shim.wasi.world import GROUPS, World

if TYPE_CHECKING:
    from wasmimg_shim.guest import Guest

__all__ = ["Wasmtime"]

#: bytes of a thread's stack that wasm frames may use; the rest is for host functions
WASM_STACK = STACK_BYTES // 2
#: of the configuration below and of all that changes what compiled code expects of us
SETTINGS = "cranelift-speed,serial,stack-8M,no-threads,no-memory64,1"
ABORTED = 134
_COMPONENT = b"\0asm\r\0\1\0"
_LETTERS = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}
# function objects of our own, since the bindings fix the argument types of theirs
_library = ctypes.CDLL(str(ffi.filename))
_define = _library["wasmtime_linker_define_func_unchecked"]
_define.restype = ctypes.c_void_p
_define.argtypes = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    Callback,
    ctypes.c_void_p,
    ctypes.c_void_p,
)
_trap_new = _library["wasmtime_trap_new"]
_trap_new.restype = ctypes.c_size_t
_trap_new.argtypes = (ctypes.c_char_p, ctypes.c_size_t)


class Wasmtime:
    """The engine, configured once a process: forks share it."""

    name = "wasmtime"

    def __init__(self) -> None:
        config = wasmtime.Config()
        # a pool of threads would not survive fork(2): the child waits for it for ever
        ffi.wasmtime_config_parallel_compilation_set(config.ptr(), False)
        # no asynchronous calls are made, but their stacks may not be smaller
        ffi.wasmtime_config_async_stack_size_set(config.ptr(), STACK_BYTES)
        ffi.wasmtime_config_max_wasm_stack_set(config.ptr(), WASM_STACK)
        ffi.wasmtime_config_wasm_threads_set(config.ptr(), False)
        config.wasm_memory64 = False
        config.cranelift_opt_level = "speed"
        self._engine = wasmtime.Engine(config)
        for group in GROUPS:
            prepare(group)
        self.version = importlib.metadata.version("wasmtime")
        self._fingerprint = f"{self.name} {self.version} {SETTINGS} {_cpu()}"

    def fingerprint(self) -> str:
        """See Engine."""
        return self._fingerprint

    def compile(self, wasm: bytes) -> bytes:
        """See Engine."""
        if wasm[:8] == _COMPONENT:
            raise InvalidInput(
                "the module is a component; only core modules run so far",
                hint="build for the target wasm32-wasip1",
            )
        if wasm[:4] != _COMPONENT[:4]:
            raise InvalidInput("the file is no WebAssembly module")
        try:
            return bytes(wasmtime.Module(self._engine, wasm).serialize())
        except wasmtime.WasmtimeError as error:
            raise InvalidInput(f"the module is broken: {_one_line(error)}") from error

    def load(self, code_fd: int, guest: Guest) -> WasmtimeInstance:
        """See Engine."""
        try:
            # mapped, not read: its pages are shared by all containers of the module
            module = wasmtime.Module.deserialize_file(self._engine, f"/proc/self/fd/{code_fd}")
        except wasmtime.WasmtimeError as error:
            raise InvalidInput(f"the compiled code is broken: {_one_line(error)}") from error
        return WasmtimeInstance(self._engine, module, guest)


class WasmtimeInstance:
    """One guest on wasmtime; satisfies Instance."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, guest: Guest) -> None:
        self._guest = guest
        self._store = wasmtime.Store(engine)
        self._linker = wasmtime.Linker(engine)
        self._callbacks: list[object] = []
        self._memory: wasmtime.Memory | None = None
        self._ending: BaseException | None = None
        self._world = World(guest, self._take_memory)
        self._entry = _entry(module, guest.function)
        imports = {  # a module may import one function twice, and linkers often make it so
            (wanted.module, wanted.name or "", _type_of(wanted)): wanted
            for wanted in module.imports
        }
        for (_, name, kind), wanted in imports.items():
            self._define(wanted, name, kind)
        self._ready = self._linker.instantiate_pre(module)
        self.signal = self._world.signal
        self.stop_listening = self._world.stop_listening
        self.owes_answers = self._world.owes_answers

    def run(self) -> int:
        """See Instance."""
        self._world.open()
        try:
            exports = self._ready.instantiate(self._store).exports(self._store)
            memory = exports.get("memory")
            self._memory = memory if isinstance(memory, wasmtime.Memory) else None
            for name in self._entry:
                function = exports[name]
                assert isinstance(function, wasmtime.Func)
                function(self._store)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            return self._ended(error)
        return 0

    def _ended(self, error: wasmtime.Trap | wasmtime.WasmtimeError) -> int:
        match self._ending:
            case Exit(status=status):
                return status
            case None:
                reason = _reason(error)
            case Trap():
                reason = str(self._ending)
            case fault:  # ours: say all that is known, the guest is not to blame
                reason = "".join(traceback.format_exception(fault))
        os.write(2, _report(reason, error, self._guest.args).encode(errors="replace"))
        return ABORTED

    def _take_memory(self) -> memoryview:
        if self._memory is None:
            return memoryview(b"")
        address = ctypes.addressof(self._memory.data_ptr(self._store).contents)
        length = self._memory.data_len(self._store)
        return memoryview((ctypes.c_ubyte * length).from_address(address)).cast("B")

    def _trap(self, ending: BaseException) -> int:
        self._ending = ending
        message = str(ending).encode() or b"ended by the host"
        trap: int = _trap_new(message, len(message))
        return trap

    def _define(self, wanted: wasmtime.ImportType, name: str, kind: tuple[str, str] | None) -> None:
        if kind is None:
            raise InvalidInput(f"the module imports {wanted.module}.{name}, which is no function")
        function = self._world.function(wanted.module, name, *kind)
        callback = bind(function, self._trap)
        self._callbacks.append(callback)
        module, field = wanted.module.encode(), name.encode()
        failed = _define(
            ctypes.cast(self._linker.ptr(), ctypes.c_void_p),
            module,
            len(module),
            field,
            len(field),
            ctypes.cast(wanted.type.ptr(), ctypes.c_void_p),
            callback,
            None,
            None,
        )
        if failed:
            raise InvalidInput(f"the module imports {wanted.module}.{name} with two types")


def _entry(module: wasmtime.Module, function: str | None) -> list[str]:
    """The exports to call, in order; InvalidInput names the one that is missing."""
    exports = {export.name: export.type for export in module.exports}
    if function is None:
        commands: tuple[str, ...] = ("_start", "_initialize")
        names = [name for name in commands if name in exports][:1]
        if not names:
            raise InvalidInput(
                "the module exports neither _start nor _initialize",
                hint="name the function to call: file.wasm#function",
            )
    else:
        # a reactor's constructors run before any of its functions
        names = [*(["_initialize"] if "_initialize" in exports else []), function]
    for name in names:
        found = exports.get(name)
        if not isinstance(found, wasmtime.FuncType):
            raise CannotInvoke(f"the module exports no function {name!r}")
        if found.params or found.results:
            raise CannotInvoke(f"the function {name!r} takes or gives values: it can't be run")
    return names


def _type_of(wanted: wasmtime.ImportType) -> tuple[str, str] | None:
    """Parameters and results of a function, a letter each; None for any other import."""
    if not isinstance(wanted.type, wasmtime.FuncType):
        return None
    return _letters(wanted.type.params), _letters(wanted.type.results)


def _letters(types: list[wasmtime.ValType]) -> str:
    return "".join(_LETTERS.get(str(kind), "?") for kind in types)


def _one_line(error: Exception) -> str:
    return ": ".join(line.strip() for line in str(error).splitlines() if line.strip())


def _report(reason: str, error: Exception, args: tuple[str, ...]) -> str:
    """What is printed for a trap: why, then where in the module, innermost call first."""
    lines = [f"wasmimg: {args[0] if args else 'the module'} trapped: {reason}"]
    frames = error.frames if isinstance(error, wasmtime.Trap) else []
    lines += [
        f"  {number}: {frame.module_offset:#x} {frame.func_name or f'function {frame.func_index}'}"
        for number, frame in enumerate(frames)
    ]
    return "\n".join(lines) + "\n"


def _reason(error: Exception) -> str:
    """The engine's message without its own backtrace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Caused by:" in lines:
        lines = lines[lines.index("Caused by:") + 1 :]
    return ": ".join(lines).removeprefix("wasm trap: ")


def _cpu() -> str:
    """The processor's features, as compiled code depends on them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
            flags = next((line for line in cpuinfo if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    digest = hashlib.sha256(flags.encode()).hexdigest()[:16]
    return f"{platform.machine()} {digest}"
