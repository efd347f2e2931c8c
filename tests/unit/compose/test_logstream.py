from pathlib import Path

from wasmimg_compose.logstream import Source, lines


def test_lines_carry_names_of_one_width(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\ntwo\n")
    (tmp_path / "b").write_bytes(b"three\r\nno end")
    sources = [
        Source("web-1", tmp_path / "a"),
        Source("db", tmp_path / "b"),
        Source("x", tmp_path / "c"),
    ]
    assert [str(line) for line in lines(sources)] == [
        "web-1  | one", "web-1  | two", "db     | three", "db     | no end"
    ]  # fmt: skip


def test_a_tail_gives_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n3\n")
    assert [line.text for line in lines([Source("a", tmp_path / "a")], tail=2)] == ["2", "3"]
    assert [line.text for line in lines([Source("a", tmp_path / "a")], tail=0)] == []


def test_following_reads_what_comes_later_and_ends_when_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first\nhal")
    steps = iter([b"f\nsecond\n", b"last"])

    def grow() -> bool:
        piece = next(steps, None)
        if piece is None:
            return False
        with path.open("ab") as log:
            log.write(piece)
        return True

    found = [line.text for line in lines([Source("a", path)], follow=grow)]
    assert found == ["first", "half", "second", "last"]
