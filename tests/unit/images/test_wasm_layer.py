from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.archive import docker
from wasmimg_images.errors import InvalidInput
from wasmimg_images.image import load
from wasmimg_images.layout import Store
from wasmimg_images.reference import Reference
from wasmimg_images.snapshot import Snapshots, chains_of
from wasmimg_images.spec import OCI_LAYER, Descriptor
from wasmimg_images.validate import validate
from wasmimg_images.wasm_layer import WASM_LAYERS, file_name, module_layer, place
from wasmimg_testing.machines import foreign
from wasmimg_testing.shims import guest

HELLO = bytes(guest("hello"))
TYPE = foreign.RUNWASI_LAYER


def layer(content: bytes, title: str | None = None, media_type: str = TYPE) -> Descriptor:
    found = Descriptor.of(content, media_type)
    return found if title is None else found.annotated({foreign.TITLE: title})


@pytest.mark.parametrize("media_type", sorted(WASM_LAYERS))
def test_the_only_module_has_any_name(media_type: str) -> None:
    only = layer(b"a", "a.wasm", media_type)
    assert module_layer([layer(b"files", None, OCI_LAYER), only], "/b.wasm") is only


def test_one_of_several_modules_is_named() -> None:
    first, second = layer(b"a", "a.wasm"), layer(b"b", "dir/b.wasm")
    assert module_layer([first, second], "/app/b.wasm") is second
    with pytest.raises(InvalidInput, match="none or several called") as caught:
        module_layer([first, second], "c.wasm")
    assert caught.value.hint == "start the command with one of: a.wasm, b.wasm"
    with pytest.raises(InvalidInput):
        module_layer([first, first], "a.wasm")


def test_an_image_of_files_has_no_module() -> None:
    assert module_layer([layer(b"files", "a.wasm", OCI_LAYER)], "a.wasm") is None


@given(st.text() | st.sampled_from(["..", ".", "/", "a/..", "-", "a\0b", "a" * 300]))
def test_a_title_is_never_more_than_a_plain_name(title: str) -> None:
    name = file_name(layer(b"a", title))
    assert name
    assert name not in {".", ".."}
    assert not set(name) & set("/\0\n")
    assert len(name) < 256


@given(st.text(st.sampled_from("a./\0")), st.text(st.sampled_from("a./")))
def test_a_module_is_placed_within_the_image(word: str, working_dir: str) -> None:
    try:
        path = place(word, working_dir)
    except InvalidInput:
        return
    parts = path.split("/")
    assert parts[0] == ""
    assert not set(parts[1:]) & {"", ".", ".."}
    assert "\0" not in path


def test_what_other_tools_write_is_unpacked_to_where_the_entrypoint_looks(tmp_path: Path) -> None:
    store, snapshots = Store(tmp_path / "store"), Snapshots(tmp_path / "snapshots")
    for name in foreign.fill(store):
        descriptor = store.resolve(Reference.parse(f"test/{name}"))
        assert validate(store, descriptor) == []
        image = load(store, descriptor)
        folders = snapshots.layers(store, image)
        found = [path for folder in folders for path in folder.rglob("*.wasm")]
        assert (folders[0] / "hello.wasm").read_bytes() == HELLO
        assert all(path.stat().st_mode & 0o777 == 0o755 for path in found)
        entrypoint = image.config.entrypoint[0]
        assert any(str(path).endswith(f"/fs{entrypoint}") for path in found)
        chains = chains_of(store, [descriptor])
        assert {snapshots.path(chain) for chain in chains} == set(folders)


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [
        (["app/x.wasm#run"], "work/app/x.wasm"),
        (["/../x.wasm"], "x.wasm"),
        ([], "hello.wasm"),
        (["/"], None),
        (["/" + "a" * 256], None),
    ],
)
def test_an_entrypoint_that_is_no_file_is_refused(
    tmp_path: Path, entrypoint: list[str], expected: str | None
) -> None:
    store, snapshots = Store(tmp_path / "store"), Snapshots(tmp_path / "snapshots")
    module = foreign.Module("hello.wasm", HELLO)
    descriptor = foreign.add_wasm_layers(
        store, "test/odd", TYPE, [module], entrypoint, working_dir="/work" if entrypoint else ""
    )
    image = load(store, descriptor)
    if expected is None:
        with pytest.raises(InvalidInput, match="is no path for a module"):
            snapshots.layers(store, image)
        assert not list((tmp_path / "snapshots").glob("*/fs"))
    else:
        (folder,) = snapshots.layers(store, image)
        assert [str(p.relative_to(folder)) for p in folder.rglob("*.wasm")] == [expected]


def test_a_layer_that_is_no_module_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    module = foreign.Module("broken.wasm", b"\0asm no more")
    descriptor = foreign.add_wasm_layers(store, "test/broken", TYPE, [module], ["/broken.wasm"])
    assert len(validate(store, descriptor)) == 1


def test_dockers_archive_has_no_place_for_modules(tmp_path: Path) -> None:
    store = Store(tmp_path)
    descriptor = foreign.add_artifact(store, "test/a", foreign.Module("a.wasm", HELLO))
    with pytest.raises(InvalidInput, match="modules as layers") as caught:
        docker.write(store, [(load(store, descriptor), ())], io.BytesIO())
    assert caught.value.hint == "write an OCI archive instead"
