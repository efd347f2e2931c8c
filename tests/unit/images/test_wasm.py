from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_images.wasm import Export, Import, Signature, inspect

MODULE = bytes(
    wasmtime.wat2wasm(
        """(module
        (import "wasi_snapshot_preview1" "fd_write"
          (func (param i32 i32 i32 i32) (result i32)))
        (import "env" "memory" (memory 1 2))
        (import "env" "counter" (global (mut i64)))
        (import "env" "table" (table 1 funcref))
        (func (export "_start"))
        (func (export "pair") (param f64 i64) (result i32 i32) i32.const 1 i32.const 2)
        (@custom "note" "hello"))""",
    ),
)
COMPONENT = bytes(
    wasmtime.wat2wasm(
        """(component
        (import "wasi:cli/environment@0.2.0" (instance (export "get" (func))))
        (import "f" (func (param "a" u32)))
        (core module $m (func (export "x")))
        (core instance $i (instantiate $m))
        (func $x (canon lift (core func $i "x")))
        (export "run" (func $x)))""",
    ),
)


def test_imports_and_exports_have_their_types() -> None:
    module = inspect(MODULE)
    assert module.kind == "core"
    assert module.imports == (
        Import("wasi_snapshot_preview1", "fd_write", "func", Signature(("i32",) * 4, ("i32",))),
        Import("env", "memory", "memory"),
        Import("env", "counter", "global"),
        Import("env", "table", "table"),
    )
    assert module.exports == (
        Export("_start", "func", Signature((), ())),
        Export("pair", "func", Signature(("f64", "i64"), ("i32", "i32"))),
    )
    assert module.custom_sections == ("note",)


def test_components_are_told_from_modules() -> None:
    component = inspect(COMPONENT)
    assert component.kind == "component"
    assert [i.name for i in component.imports] == ["wasi:cli/environment@0.2.0", "f"]
    assert [e.name for e in component.exports] == ["run"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\x7fELF\2\1\1", "starts with 7f 45 4c 46"),
        (b"\0asm\1\0", "truncated: it has 6 of the preamble's 8 bytes"),
        (b"\0asm\2\0\0\0", "version 2 is not supported"),
        (b"\0asm\x0c\0\1\0", "component format version 12"),
        (MODULE[:40], "truncated: the import section at byte"),
        (b"\0asm\1\0\0\0\x63\0", "unknown kind 99 at byte 8"),
        (b"\0asm\1\0\0\0\x03\x02\1\0", "declares 1 functions and has code for 0"),
        (b"\0asm\1\0\0\0\x01\1\0\x01\1\0", "out of order or there twice"),
        (b"\0asm\1\0\0\0\x01\x06\xff\xff\xff\xff\xff\x01", "more than 32 bits"),
        (b"\0asm\1\0\0\0\x07\x05\1\1f\0\0", "exports 'f', a function that there is not"),
        (b"\0asm\1\0\0\0\x00\x03\2\xff\xfe", "not UTF-8"),
    ],
)
def test_what_is_broken_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        inspect(data, "app.wasm")
    assert message in caught.value.message
    assert caught.value.message.startswith("app.wasm")


def test_the_text_format_gets_a_hint() -> None:
    with pytest.raises(InvalidInput) as caught:
        inspect(b"(module)")
    assert "wat2wasm" in str(caught.value.hint)


@pytest.mark.parametrize("whole", [MODULE, COMPONENT], ids=["core", "component"])
def test_every_truncation_is_seen_or_leaves_whole_sections(whole: bytes) -> None:
    for length in range(len(whole)):
        try:
            part = inspect(whole[:length])
        except InvalidInput:
            continue
        assert len(part.imports) <= len(inspect(whole).imports)


@given(st.binary(max_size=300), st.sampled_from([b"\0asm\1\0\0\0", b"\0asm\x0d\0\1\0"]))
def test_any_bytes_are_a_module_or_invalid_input(data: bytes, preamble: bytes) -> None:
    try:
        inspect(preamble + data)
    except InvalidInput as error:
        assert "\n" not in error.message


@given(st.data())
def test_a_flipped_byte_is_never_a_crash(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([MODULE, COMPONENT]))
    at = data.draw(st.integers(8, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        found = inspect(bytes(changed))
    except InvalidInput:
        return
    assert found.kind in {"core", "component"}
