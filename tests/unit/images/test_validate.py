from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from wasmimg_images.image import load
from wasmimg_images.spec import OCI_MANIFEST, Descriptor, Platform
from wasmimg_images.validate import validate
from wasmimg_testing.archives import Entry
from wasmimg_testing.indexes import HELLO, WASI, add_index, add_manifest, add_usual_index

if TYPE_CHECKING:
    from wasmimg_images.layout import Store

MODULE = Entry("a.wasm", data=HELLO)


def problems(store: Store, descriptor: Descriptor) -> str:
    return "\n".join(problem.what for problem in validate(store, descriptor))


def test_a_good_index_has_no_problems(store: Store) -> None:
    assert validate(store, add_usual_index(store)) == []


def test_platforms_that_were_not_pulled_are_no_problem(store: Store) -> None:
    index = add_usual_index(store)
    linux = load(store, add_manifest(store, [MODULE], Platform("linux", "amd64")))
    store.path(linux.descriptor.digest).unlink()
    assert validate(store, index) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the entrypoint /a.wasm is not in the image"),
        ([Entry("b.wasm", data=HELLO)], "the entrypoint /a.wasm is not in the image"),
        ([Entry("a.wasm", data=b"MZ")], "is not WebAssembly"),
        ([Entry("a.wasm", data=HELLO[:6])], "truncated"),
        ([MODULE, Entry("../x")], "leads out of the image"),
    ],
)
def test_bad_contents_are_found(store: Store, content: list[Entry], message: str) -> None:
    assert message in problems(store, add_manifest(store, content))


def test_every_problem_is_reported_not_the_first(store: Store) -> None:
    manifest = add_manifest(store, [Entry("../x"), Entry("../y")])
    assert len(validate(store, manifest)) == 3


def test_missing_and_rotten_blobs_are_named(store: Store) -> None:
    manifest = add_manifest(store, [MODULE])
    layer = load(store, manifest).manifest.layers[0]
    store.path(layer.digest).write_bytes(b"rotten")
    found = validate(store, manifest)
    assert layer.digest in {problem.digest for problem in found}
    store.path(layer.digest).unlink()
    assert f"blob {layer.digest} is not in" in problems(store, manifest)


def test_an_entry_must_say_what_its_image_says(store: Store) -> None:
    linux = add_manifest(store, [MODULE], Platform("linux", "amd64"))
    index = add_index(store, [(linux, WASI), (linux, WASI)])
    text = problems(store, index)
    assert "is listed for wasi/wasm, made for linux/amd64" in text
    assert "two entries for wasi/wasm" in text


def test_an_empty_index_is_a_problem(store: Store) -> None:
    assert "the index is empty" in problems(store, add_index(store, []))


def test_as_many_layers_as_diff_ids(store: Store) -> None:
    document = json.loads(load(store, add_manifest(store, [MODULE])).manifest.raw)
    document["layers"] *= 2
    raw = json.dumps(document).encode()
    assert "2 layers and 1 diff_ids" in problems(store, store.write(raw, OCI_MANIFEST))


def test_unknown_layer_types_are_a_problem(store: Store) -> None:
    document = json.loads(load(store, add_manifest(store, [MODULE])).manifest.raw)
    document["layers"][0]["mediaType"] = "application/x-rar"
    raw = json.dumps(document).encode()
    text = problems(store, store.write(raw, OCI_MANIFEST))
    assert "layers of type 'application/x-rar' are not supported" in text
