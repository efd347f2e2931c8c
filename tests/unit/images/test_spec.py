from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.config import Healthcheck, ImageConfig
from wasmimg_images.digest import Digest
from wasmimg_images.document import encode
from wasmimg_images.errors import InvalidInput
from wasmimg_images.spec import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
)

BLOB = {"mediaType": OCI_CONFIG, "digest": str(Digest.of(b"")), "size": 0}


def manifest(**changes: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": BLOB, "layers": [], **changes}).encode()


def test_a_manifest_keeps_its_bytes() -> None:
    raw = b' { "layers":[],"config":' + json.dumps(BLOB).encode() + b', "schemaVersion" :2}\n'
    parsed = Manifest.parse(raw)
    assert parsed.raw == raw
    assert parsed.media_type == OCI_MANIFEST
    assert parsed.config == Descriptor(OCI_CONFIG, Digest.of(b""), 0)


def test_dockers_manifest_is_read_too() -> None:
    assert Manifest.parse(manifest(mediaType=DOCKER_MANIFEST)).media_type == DOCKER_MANIFEST


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "not JSON"),
        (b"[]", "expected an object"),
        (b"[" * 100_000, "not JSON"),
        (manifest(schemaVersion=1), "schemaVersion 1"),
        (manifest(schemaVersion="2"), "manifest.schemaVersion"),
        (manifest(config=None), "config is missing"),
        (manifest(layers=[{**BLOB, "size": -1}]), "manifest.layers[0].size"),
        (manifest(layers=[{**BLOB, "size": True}]), "manifest.layers[0].size"),
        (manifest(layers=[{**BLOB, "size": 1.5}]), "manifest.layers[0].size"),
        (manifest(layers=[{**BLOB, "digest": "sha256:XYZ"}]), "sha256:XYZ"),
        (manifest(layers={}), "manifest.layers"),
        (manifest(mediaType="text/plain"), "manifest.mediaType"),
        (manifest(manifests=[]), "it is an index"),
        (manifest(annotations={"a": 1}), "manifest.annotations.a"),
        (manifest(padding="x" * (5 << 20)), "more than"),
    ],
)
def test_a_bad_manifest_is_refused_with_the_place(raw: bytes, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Manifest.parse(raw)
    assert place in caught.value.message
    assert "\n" not in caught.value.message


def test_an_index_that_is_a_manifest_too_is_refused() -> None:
    with pytest.raises(InvalidInput, match="it is a manifest"):
        Index.parse(json.dumps({"schemaVersion": 2, "manifests": [], "layers": []}).encode())


names = st.text(max_size=20)


@given(
    st.integers(0, 1 << 62),
    st.none() | st.tuples(names, names, st.none() | st.text(min_size=1, max_size=5)),
    st.dictionaries(names, names, max_size=3),
)
def test_a_descriptor_round_trips(
    size: int, platform: tuple[str, str, str | None] | None, annotations: dict[str, str]
) -> None:
    found = Descriptor(
        OCI_LAYER_GZIP,
        Digest.of(b"x"),
        size,
        platform=Platform(*platform) if platform else None,
        annotations=annotations,
    )
    raw = encode({"schemaVersion": 2, "manifests": [found.document()]})
    assert Index.parse(raw).manifests == (found,)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("wasi/wasm", Platform("wasi", "wasm")),
        ("linux/arm/v7", Platform("linux", "arm", "v7")),
    ],
)
def test_platforms_are_parsed(text: str, platform: Platform) -> None:
    assert Platform.parse(text) == platform
    assert str(platform) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/wasm", "a/b/c/d", "linux/wasm"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Platform.parse(text)
    assert caught.value.hint


def test_a_config_is_read_whole() -> None:
    document = {
        "os": "wasi",
        "architecture": "wasm",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/a.wasm"],
            "Cmd": ["x"],
            "Env": ["A=b"],
            "User": "1:1",
            "WorkingDir": "/w",
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/v": {}},
            "Labels": {"l": "m"},
            "StopSignal": "SIGINT",
            "Healthcheck": {"Test": ["CMD", "t"], "Interval": 5, "Retries": 2},
        },
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b""))]},
    }
    config = ImageConfig.parse(json.dumps(document).encode())
    assert config.platform == Platform("wasi", "wasm")
    assert (config.entrypoint, config.cmd, config.env) == (("/a.wasm",), ("x",), ("A=b",))
    assert (config.user, config.working_dir, config.stop_signal) == ("1:1", "/w", "SIGINT")
    assert (config.exposed_ports, config.volumes) == (("80/tcp",), ("/v",))
    assert config.labels == {"l": "m"}
    assert config.healthcheck == Healthcheck(("CMD", "t"), interval=5, retries=2)
    assert config.diff_ids == (Digest.of(b""),)


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**400])
def test_a_health_checks_numbers_have_64_bits(number: int) -> None:
    check = {"Test": ["CMD", "t"], "Interval": number}
    document = {"os": "linux", "architecture": "amd64", "config": {"Healthcheck": check}}
    with pytest.raises(InvalidInput, match=r"Healthcheck.Interval: expected an integer of 64"):
        ImageConfig.parse(json.dumps(document).encode())


def test_gos_nulls_count_as_absent() -> None:
    nulls = dict.fromkeys(["Entrypoint", "Cmd", "Env", "ExposedPorts", "Volumes", "Labels"])
    raw = json.dumps({"os": "linux", "architecture": "amd64", "config": nulls}).encode()
    config = ImageConfig.parse(raw)
    assert config.entrypoint == ()
    assert config.labels == {}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["config", "rootfs", "os", "architecture", "Env", "diff_ids"]),
                inner,
                max_size=4,
            )
        ),
    ),
)
def test_any_json_is_a_config_or_invalid_input(value: object) -> None:
    raw = json.dumps(value).encode()
    try:
        config = ImageConfig.parse(raw)
    except InvalidInput:
        return
    assert isinstance(value, dict)
    assert config.platform.os == cast("dict[str, object]", value)["os"]
