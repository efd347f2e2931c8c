from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.install import daemon_json
from wasmimg_shim.install.daemon_json import SNAPSHOTTER, Change, Setting

LAUNCHER = "/usr/local/bin/containerd-shim-wasmimg-v1"
OURS = (daemon_json.runtime("wasmimg", LAUNCHER), Setting(SNAPSHOTTER, value=True))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
SECTIONS = st.none() | st.dictionaries(st.text(max_size=5), VALUES, max_size=3)
FEATURES = st.none() | st.dictionaries(
    st.sampled_from(["buildkit", "containerd-snapshotter", ""]), st.booleans(), max_size=3
)
DOCUMENTS = st.builds(
    lambda rest, sections, order: {
        key: {**rest, **sections}[key] for key in order([*rest, *sections])
    },
    st.dictionaries(st.text(max_size=5), VALUES, max_size=4),
    st.fixed_dictionaries({}, optional={"runtimes": SECTIONS, "features": FEATURES}),
    st.sampled_from([sorted, lambda keys: dict.fromkeys(reversed(keys)), dict.fromkeys]),
)
INDENTS = st.sampled_from([None, 2, 4, "\t"])


def plain(value: object) -> str:
    """Tell true from 1, and notice an order that changed."""
    return json.dumps(value)


@given(DOCUMENTS, INDENTS)
def test_merging_loses_nothing_and_unmerging_gives_the_same_bytes(
    document: dict[str, object], indent: str | int | None
) -> None:
    raw = json.dumps(document, indent=indent).encode() + b"\n"
    merged = daemon_json.merge(raw, OURS, "d")
    after = json.loads(merged.raw)
    assert after["runtimes"]["wasmimg"] == {"runtimeType": LAUNCHER}
    assert after["features"]["containerd-snapshotter"] is True
    for key, value in document.items():
        if key not in {"runtimes", "features"}:
            assert plain(after[key]) == plain(value)
        elif isinstance(value, dict):
            assert {
                **after[key],
                **value,
                **{k: v for k, v in after[key].items() if k == SNAPSHOTTER[1]},
            } == after[key]
    assert [key for key in after if key in document] == list(document)
    unmerged = daemon_json.unmerge(merged.raw, merged.changes, "d")
    assert unmerged == (raw, ())


@given(DOCUMENTS, INDENTS, st.dictionaries(st.text(min_size=6, max_size=8), VALUES, max_size=3))
def test_what_was_added_after_us_outlives_us(
    document: dict[str, object], indent: str | int | None, later: dict[str, object]
) -> None:
    later = {key: value for key, value in later.items() if key not in {"runtimes", "features"}}
    merged = daemon_json.merge(json.dumps(document, indent=indent).encode(), OURS, "d")
    edited = {**json.loads(merged.raw), **later}
    unmerged = daemon_json.unmerge(json.dumps(edited).encode(), merged.changes, "d")
    assert plain(json.loads(unmerged.raw)) == plain({**document, **later})


@given(DOCUMENTS)
def test_merging_again_changes_nothing(document: dict[str, object]) -> None:
    merged = daemon_json.merge(json.dumps(document).encode(), OURS, "d")
    assert daemon_json.merge(merged.raw, OURS, "d") == (merged.raw, ())


@pytest.mark.parametrize("raw", [None, b"", b" \n"])
def test_a_file_that_says_nothing_becomes_a_document(raw: bytes | None) -> None:
    merged = daemon_json.merge(raw, OURS[:1], "d")
    text = '{\n  "runtimes": {\n    "wasmimg": {\n      "runtimeType": "%s"\n    }\n  }\n}\n'
    assert merged.raw.decode() == text % LAUNCHER
    assert daemon_json.is_empty(daemon_json.unmerge(merged.raw, merged.changes, "d").raw)


def test_a_byte_order_mark_stays() -> None:
    merged = daemon_json.merge(b'\xef\xbb\xbf{"debug": true}', OURS, "d")
    assert merged.raw.startswith(b'\xef\xbb\xbf{"debug": true, ')


def test_a_runtime_of_somebody_else_is_refused_or_forced_and_comes_back() -> None:
    raw = b'{"runtimes": {"wasmimg": {"path": "/x"}}}'
    with pytest.raises(InvalidInput, match=r"d: runtimes\.wasmimg is there already") as caught:
        daemon_json.merge(raw, OURS, "d")
    assert "--force" in str(caught.value.hint)
    merged = daemon_json.merge(raw, OURS, "d", force=True)
    assert merged.changes[0] == Change(OURS[0].path, OURS[0].value, ({"path": "/x"},))
    assert daemon_json.unmerge(merged.raw, merged.changes, "d").raw == raw


def test_an_earlier_runtime_of_ours_gives_way() -> None:
    first = daemon_json.merge(None, [daemon_json.runtime("wasmimg", "/opt/old")], "d")
    second = daemon_json.merge(first.raw, OURS[:1], "d", ours=first.changes)
    assert json.loads(second.raw)["runtimes"]["wasmimg"] == OURS[0].value
    unmerged = daemon_json.unmerge(second.raw, (*first.changes, *second.changes), "d")
    assert daemon_json.is_empty(unmerged.raw)


def test_a_key_of_ours_that_somebody_changed_stays_and_is_named() -> None:
    merged = daemon_json.merge(None, OURS, "d")
    edited = json.loads(merged.raw)
    edited["runtimes"]["wasmimg"] = {"path": "/theirs"}
    unmerged = daemon_json.unmerge(json.dumps(edited).encode(), merged.changes, "d")
    assert json.loads(unmerged.raw) == {"runtimes": {"wasmimg": {"path": "/theirs"}}}
    assert [change.name for change in unmerged.kept] == ["runtimes.wasmimg"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"features": []}', "d: features is no object"),
        (b'{"runtimes": "x"}', "d: runtimes is no object"),
        (b'{"a": "\xff"}', "d: byte 7 is no UTF-8"),
        (b"{", "d:1:2: "),
    ],
)
def test_a_document_that_can_not_hold_our_settings_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        daemon_json.merge(raw, OURS, "d")
    assert caught.value.message.startswith(message)
