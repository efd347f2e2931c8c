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
import struct
from typing import TYPE_CHECKING, Any

from wasmimg_shim.wasi.errno import from_linux
from wasmimg_shim.wasi.function import declarations
from wasmimg_shim.wasi.memory import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmimg_shim.wasi.function import Function

__all__ = ["Callback", "bind", "prepare"]

# The callee may declare fewer parameters than it is given. Of the first two nothing is wanted, and
# as bytes they cost least to convert.
Callback: Any = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_uint8, ctypes.c_uint8, ctypes.c_size_t)
#: a slot as 32-bit words, and what of it each letter needs
_LETTERS = {"i": "I12x", "I": "Q8x"}
_MOST_SLOTS_BYTES = 16 * 16
#: a guest calls from few depths of its stack, so few views are ever needed
_MOST_VIEWS = 4096
_SOURCE = """
def make(call, unpack, views, view_at, from_linux, Refused, trap):
    def callback(_environment, _caller, address):
        slots = views.get(address)
        if slots is None:
            slots = view_at(address)
        try:
            {arguments} = unpack(slots)
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
_views: dict[int, memoryview] = {}


def _view_at(address: int) -> memoryview:
    """Words of the guest's stack; used only while a call with this address lasts."""
    if len(_views) >= _MOST_VIEWS:
        _views.clear()
    view = memoryview((ctypes.c_ubyte * _MOST_SLOTS_BYTES).from_address(address)).cast("B")
    _views[address] = view = view.cast("I")
    return view


@functools.cache
def _maker(parameters: str, *, returns: bool) -> Callable[..., Callable[..., int]]:
    names = ", ".join(f"a{index}" for index in range(len(parameters)))
    namespace: dict[str, Callable[..., Callable[..., int]]] = {}
    source = _SOURCE.format(
        arguments=f"{names}," if names else "_", result="slots[0]" if returns else "_result"
    ).replace("call(_)", "call()")
    exec(compile(source, f"<host function ({parameters})>", "exec"), namespace)  # noqa: S102 -- the source is ours, made of two letters
    return namespace["make"]


def prepare(group: type) -> None:
    """Write the functions for a group's signatures now, for all processes that are forked later."""
    for _, parameters, returns, _ in declarations(group):
        _maker(parameters, returns=returns)


def bind(function: Function, trap: Callable[[BaseException], int]) -> object:
    """Make the callback; `trap` turns what is no errno into the engine's trap, as an address.

    The caller keeps the callback alive for as long as the engine may call it.
    """
    make = _maker(function.parameters, returns=function.returns)
    unpack = struct.Struct("<" + "".join(_LETTERS[p] for p in function.parameters)).unpack_from
    return Callback(make(function.call, unpack, _views, _view_at, from_linux, Refused, trap))
