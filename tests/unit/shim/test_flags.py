from __future__ import annotations

import pytest

from wasmimg_shim.flags import UsageError, parse


@pytest.mark.parametrize(
    "words",
    [
        ["-namespace", "ns", "-id", "c1", "-debug", "start"],
        ["--namespace", "ns", "--id=c1", "--debug", "start"],
        ["-id=c1", "-debug=true", "-namespace=ns", "start"],
    ],
)
def test_flags_are_written_as_go_takes_them(words: list[str]) -> None:
    flags = parse(words)
    assert (flags.namespace, flags.id, flags.debug, flags.verb) == ("ns", "c1", True, "start")


def test_all_that_containerd_passes_is_known() -> None:
    words = "-namespace n -address a -publish-binary p -id i -bundle b -socket s -debug-socket d"
    flags = parse([*words.split(), "delete"])
    assert (flags.address, flags.publish_binary, flags.bundle) == ("a", "p", "b")
    assert flags.verb == "delete"


def test_switches_can_be_off() -> None:
    assert not parse(["-debug=false"]).debug


@pytest.mark.parametrize(("word", "name"), [("-v", "version"), ("-info", "info"), ("-h", "help")])
def test_questions_need_no_verb(word: str, name: str) -> None:
    assert getattr(parse([word]), name)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-frob"], "not defined: -frob"),
        (["-id"], "needs an argument: -id"),
        (["stop"], "unknown command 'stop'"),
        (["start", "now"], "unexpected argument 'now'"),
    ],
)
def test_other_words_are_told(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse(words)
