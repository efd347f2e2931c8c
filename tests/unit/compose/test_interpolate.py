import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose.interpolate import interpolate
from wasmimg_images.errors import InvalidInput

SET = {"A": "1", "EMPTY": "", "B": "two"}


@pytest.mark.parametrize(
    ("text", "result", "unset"),
    [
        ("plain", "plain", ()),
        ("$A and ${B}", "1 and two", ()),
        ("$$A", "$A", ()),
        ("$NONE", "", ("NONE",)),
        ("${NONE:-x}", "x", ()),
        ("${EMPTY:-x}", "x", ()),
        ("${EMPTY-x}", "", ()),
        ("${NONE-x}", "x", ()),
        ("${A:+x}", "x", ()),
        ("${EMPTY:+x}", "", ()),
        ("${EMPTY+x}", "x", ()),
        ("${NONE:-${B}}", "two", ()),
        ("${NONE:-${ALSO:-deep}}", "deep", ()),
        ("${NONE:-${ALSO}}", "", ("ALSO",)),
        ("${A:?why}", "1", ()),
        ("mysql://u:p@${B}:3306", "mysql://u:p@two:3306", ()),
    ],
)
def test_variables_are_replaced(text: str, result: str, unset: tuple[str, ...]) -> None:
    assert interpolate(text, SET) == (result, unset)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${NONE:?set it}", "required variable NONE is not set: set it"),
        ("${EMPTY:?}", "required variable EMPTY"),
        ("${A", "unexpected text"),
        ("${A:-x", "not closed"),
        ("${}", "no variable name"),
        ("$", "begins no variable"),
        ("costs 5$ each", "begins no variable"),
    ],
)
def test_malformed_references_are_named(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        interpolate(text, SET)


@given(st.text())
def test_any_text_gives_text_or_invalid_input(text: str) -> None:
    try:
        assert isinstance(interpolate(text, SET).text, str)
    except InvalidInput:
        assert "$" in text


@given(st.text())
def test_doubled_dollars_come_back_as_they_were(text: str) -> None:
    assert interpolate(text.replace("$", "$$"), {}).text == text
