from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import InvalidInput
from wasmimg_shim.install import jsontext

KEYS = st.text(max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
STYLES = st.sampled_from([None, 1, 2, 4, "\t"])


@given(OBJECTS, KEYS, VALUES, STYLES, st.booleans())
def test_what_is_set_is_read_back_and_all_else_is_as_it_was(
    document: dict[str, object], key: str, value: object, indent: str | int | None, compact: bool
) -> None:
    separators = (",", ":") if compact and indent is None else None
    text = json.dumps(document, indent=indent, separators=separators)
    edited = jsontext.set_member(text, [key], value)
    assert json.loads(edited) == {**document, key: value}
    assert list(json.loads(edited)) == list({**document, key: value})


@given(OBJECTS, KEYS, VALUES, STYLES)
def test_a_member_that_was_added_is_removed_without_a_trace(
    document: dict[str, object], key: str, value: object, indent: str | int | None
) -> None:
    document.pop(key, None)
    text = json.dumps(document, indent=indent) + "\n"
    removed = jsontext.remove_member(jsontext.set_member(text, [key], value), [key])
    assert removed == text


@given(OBJECTS, st.data(), STYLES)
def test_any_member_can_be_removed(
    document: dict[str, object], data: st.DataObject, indent: str | int | None
) -> None:
    key = data.draw(st.sampled_from([*document, "absent"]))
    text = jsontext.remove_member(json.dumps(document, indent=indent), [key])
    assert json.loads(text) == {name: value for name, value in document.items() if name != key}


@given(st.dictionaries(KEYS, OBJECTS, min_size=1, max_size=4), st.data(), VALUES, STYLES)
def test_nested_members(
    document: dict[str, dict[str, object]],
    data: st.DataObject,
    value: object,
    indent: str | int | None,
) -> None:
    outer = data.draw(st.sampled_from(list(document)))
    text = json.dumps(document, indent=indent)
    edited = jsontext.set_member(text, [outer, "new key"], value)
    document[outer]["new key"] = value
    assert json.loads(edited) == document


def test_numbers_arrays_and_spaces_stay_as_they_are_written() -> None:
    text = '{\r\n\t"a" : 1.50e2,\r\n\t"b": [ 1,2 ],\r\n\t"o": {\r\n\t}\r\n}\r\n'
    edited = jsontext.set_member(text, ["o", "x"], {"y": True})
    expected = '{\r\n\t"a" : 1.50e2,\r\n\t"b": [ 1,2 ],\r\n\t"o": {\r\n\t\t"x": {\r\n\t\t\t"y": true\r\n\t\t}\r\n\t}\r\n}\r\n'
    assert edited == expected


def test_a_document_on_one_line_stays_on_one_line() -> None:
    assert jsontext.set_member('{"a":1}', ["b"], {"c": 2}) == '{"a":1,"b":{"c":2}}'
    assert jsontext.set_member('{"a": 1}', ["b"], {"c": 2}) == '{"a": 1, "b": {"c": 2}}'


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{\n  "a": 1,\n  "b" 2\n}', "f.json:3:7: "),
        ('{"a": 1,}', "f.json:1:"),
        ("", "f.json:1:1: "),
        ("[]", "f.json: holds no object"),
        ('{"a": NaN}', "f.json: NaN is no JSON"),
        ('{"x": {"a": 1, "a": 2}}', "f.json: 'a' stands twice"),
        ("[" * 100_000, "f.json: nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "f.json: "),
        ('{"a": 1} // no', "f.json:1:10: "),
    ],
)
def test_what_is_no_json_object_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        jsontext.parse(text, "f.json")
    assert caught.value.message.startswith(where)
    assert caught.value.hint
