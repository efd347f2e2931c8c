from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmimg_images.errors import InvalidInput, NotFound
from wasmimg_images.image import host_platform, runnable, select
from wasmimg_images.spec import OCI_LAYER, Platform
from wasmimg_testing.indexes import WASI, add_index, add_manifest, add_usual_index

if TYPE_CHECKING:
    from wasmimg_images.layout import Store

ARM = Platform("linux", "arm", "v7")


def test_wasm_is_preferred_to_this_machines_own(store: Store) -> None:
    linux, wasm = add_manifest(store, [], host_platform()), add_manifest(store, [])
    index = add_index(store, [(linux, host_platform()), (wasm, WASI)])
    assert select(store, index).config.platform == WASI
    assert runnable()[-1] == host_platform()


@pytest.mark.parametrize("name", ["wasi/wasm", "wasip1/wasm"])
def test_both_wasi_names_lead_to_the_same_image(store: Store, name: str) -> None:
    image = select(store, add_usual_index(store), [Platform.parse(name)])
    assert image.config.platform == WASI


def test_an_old_previews_name_is_read(store: Store) -> None:
    old = Platform("wasi", "wasm32")
    assert select(store, add_manifest(store, [], old)).config.platform == old


def test_a_manifest_alone_is_for_its_configs_platform(store: Store) -> None:
    manifest = add_manifest(store, [], Platform("windows", "amd64"))
    with pytest.raises(NotFound) as caught:
        select(store, manifest)
    assert "windows/amd64" in str(caught.value.hint)


def test_a_platform_that_there_is_not_names_those_there_are(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        select(store, add_usual_index(store), [Platform("linux", "s390x")])
    assert caught.value.message == "no image for platform linux/s390x"
    assert "wasi/wasm, wasip1/wasm, linux/amd64" in str(caught.value.hint)


def test_a_platform_that_was_not_pulled_is_told_apart(store: Store) -> None:
    manifest = add_manifest(store, [])
    index = add_index(store, [(manifest, WASI)])
    store.path(manifest.digest).unlink()
    with pytest.raises(NotFound) as caught:
        select(store, index, [WASI])
    assert "--platform wasi/wasm" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("offered", "wanted", "fits"),
    [
        (ARM, ARM, True),
        (ARM, Platform("linux", "arm"), True),
        (Platform("linux", "arm"), ARM, True),
        (Platform("linux", "arm", "v6"), ARM, False),
    ],
)
def test_a_variant_that_is_not_said_suits_every_variant(
    store: Store, offered: Platform, wanted: Platform, fits: bool
) -> None:
    index = add_index(store, [(add_manifest(store, [], offered), offered)])
    if fits:
        assert select(store, index, [wanted]).config.platform == offered
    else:
        with pytest.raises(NotFound):
            select(store, index, [wanted])


def test_indexes_may_be_nested_but_not_without_end(store: Store) -> None:
    inner = add_usual_index(store)
    index = add_index(store, [(inner, WASI)])
    assert select(store, index).config.platform == WASI
    for _ in range(5):
        index = add_index(store, [(index, WASI)])
    with pytest.raises(InvalidInput, match="too deep"):
        select(store, index)


def test_a_blob_that_is_no_image_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="is no image"):
        select(store, store.write(b"x", OCI_LAYER))
