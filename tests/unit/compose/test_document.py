import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose.document import Node, parse, resolve
from wasmimg_images.errors import InvalidInput


def plain(node: Node) -> object:
    match node.value:
        case dict():
            return {key: plain(value) for key, value in node.value.items()}
        case tuple():
            return [plain(value) for value in node.value]
        case _:
            return node.value


def test_scalars_follow_yaml_1_2() -> None:
    node = parse("[22:22, no, 1, 0x10, 1.5, ~, 'null', 2001-01-01, true, !!str 5, \"8\"]", "f")
    assert plain(node) == ["22:22", "no", 1, 16, 1.5, None, "null", "2001-01-01", True, "5", "8"]


def test_merge_keys_and_anchors() -> None:
    node = parse("x-a: &a {k: 1, m: 2}\ns: {<<: *a, m: 3}", "f")
    assert plain(node.mapping()["s"]) == {"k": 1, "m": 3}


def test_replaced_scalars_are_typed_anew_and_quoted_ones_are_not() -> None:
    node = parse("[$X, '$X']", "f", lambda text: text.replace("$X", "7"))
    assert plain(node) == [7, "7"]


def test_an_unknown_key_is_named_with_its_place_and_a_suggestion() -> None:
    node = parse("services:\n  web:\n    imag: x\n", "compose.yaml")
    web = node.mapping()["services"].mapping()["web"]
    with pytest.raises(InvalidInput) as caught:
        web.mapping(("image", "ports"))
    assert caught.value.message == "compose.yaml:3:5: services.web.imag: this key is not supported"
    assert caught.value.hint == "did you mean 'image'?"


def test_extension_keys_are_allowed_and_not_handed_on() -> None:
    assert parse("x-note: 1\na: 2", "f").mapping(("a",)).keys() == {"a"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1", "f:1:6"),
        ("a: 1\na: 2", "f:2:1"),
        ("a: *b", "f:1:4"),
        ("\t", "f:1:1"),
        ("[1]: 2", "f:1:1"),
    ],
)
def test_malformed_documents_are_placed(text: str, place: str) -> None:
    with pytest.raises(InvalidInput, match=place):
        parse(text, "f")


def test_a_document_that_nests_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        parse("[" * 100 + "]" * 100, "f")


@pytest.mark.parametrize(
    ("method", "text"),
    [("mapping", "[1]"), ("sequence", "{a: 1}"), ("text", "[1]"), ("integer", "x"), ("integer", "true"),
     ("number", "x"), ("boolean", "1")],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_an_error_with_its_path(method: str, text: str) -> None:
    node = parse(f"key: {text}", "f").mapping()["key"]
    with pytest.raises(InvalidInput, match="f:1:6: key: expected"):
        getattr(node, method)()


@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse(text, "f")
    except InvalidInput as error:
        assert error.message.startswith("f")


@given(st.integers())
def test_integers_come_back(number: int) -> None:
    assert resolve(str(number)) == number
