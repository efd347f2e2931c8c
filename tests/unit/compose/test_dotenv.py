import pytest

from wasmimg_compose.dotenv import parse
from wasmimg_images.errors import InvalidInput


def test_lines_quotes_comments_and_references() -> None:
    text = """
# a comment
A=1
export B = two words   # trailing
C="line\\nbreak ${A}"
D='$A stays'
E=${MISSING:-default}
F
G
"""
    assert parse(text, {"F": "from outside"}) == {
        "A": "1",
        "B": "two words",
        "C": "line\nbreak 1",
        "D": "$A stays",
        "E": "default",
        "F": "from outside",
    }


def test_the_environment_wins_inside_references() -> None:
    assert parse("A=1\nB=$A", {"A": "2"})["B"] == "2"


def test_hash_inside_a_value_is_no_comment() -> None:
    assert parse("A=x#y", {}) == {"A": "x#y"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A=1\n=2", ".env:2: not a NAME=value line"),
        ("A='x", ".env:1: the quote"),
        ("A=$", ".env:1:"),
    ],
)
def test_errors_name_the_line(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse(text, {})
