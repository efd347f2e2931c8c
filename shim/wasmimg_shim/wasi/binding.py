"""Host functions as C callbacks of the form that engines call without boxing values.

The form: (environment, caller, slots, count), one 16-byte slot a parameter, the result written
over the first; it returns a trap or null. (wasmtime's `wasmtime_func_unchecked_callback_t`, whose
`wasmtime_val_raw_t` is 16 bytes wide.)

One function is written per signature rather than one for all: looping over parameters would cost
more than most calls do. No exception may reach ctypes, which would print it and return success.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any

from wasmimg_shim.wasi.errno import from_linux
from wasmimg_shim.wasi.memory import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_shim.wasi.function import Function

__all__ = ["Callback", "bind"]

Callback: Any = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint32),
    ctypes.c_size_t,
)
#: 32-bit words a slot has
_WORDS = 4
_SOURCE = """
def make(call, from_linux, Refused, trap):
    def callback(_environment, _caller, slots, _count):
        try:
            call({arguments})
            {result} = 0
        except OSError as error:
            {result} = from_linux(error.errno)
        except Refused as error:
            {result} = error.number
        except BaseException as error:
            return trap(error)
        return 0
    return callback
"""


@functools.cache
def _maker(parameters: str, *, returns: bool) -> Callable[..., Callable[..., int]]:
    words = {"i": "slots[{0}]", "I": "slots[{0}] | slots[{1}] << 32"}
    arguments = ", ".join(
        words[letter].format(_WORDS * index, _WORDS * index + 1)
        for index, letter in enumerate(parameters)
    )
    namespace: dict[str, Callable[..., Callable[..., int]]] = {}
    source = _SOURCE.format(arguments=arguments, result="slots[0]" if returns else "_result")
    exec(compile(source, f"<host function ({parameters})>", "exec"), namespace)  # noqa: S102 -- the source is ours, made of two letters
    return namespace["make"]


def bind(function: Function, trap: Callable[[BaseException], int]) -> object:
    """Make the callback; `trap` turns what is no errno into the engine's trap, as an address.

    The caller keeps the callback alive for as long as the engine may call it.
    """
    make = _maker(function.parameters, returns=function.returns)
    return Callback(make(function.call, from_linux, Refused, trap))
