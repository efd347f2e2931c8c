import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_compose.graph import closure, waves
from wasmimg_images.errors import InvalidInput


def test_services_start_after_what_they_need() -> None:
    needs = {"web": {"api"}, "api": {"db", "cache"}, "db": set[str](), "cache": set[str]()}
    assert waves(needs) == [["cache", "db"], ["api"], ["web"]]


def test_a_cycle_is_spelled_out() -> None:
    with pytest.raises(InvalidInput, match="a -> b -> c -> a"):
        waves({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})


def test_a_missing_service_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"services\.a\.depends_on: no service is called 'x'"):
        waves({"a": {"x"}})


def test_wanting_one_wants_what_it_needs() -> None:
    needs = {"web": {"api"}, "api": {"db"}, "db": set[str](), "other": set[str]()}
    assert closure(needs, ["api"]) == {"api", "db"}
    with pytest.raises(InvalidInput, match="no service is called 'nope'"):
        closure(needs, ["nope"])


@given(st.dictionaries(st.integers(0, 8).map(str), st.sets(st.integers(0, 8).map(str))))
def test_waves_keep_every_promise_or_refuse(needs: dict[str, set[str]]) -> None:
    try:
        order = waves(needs)
    except InvalidInput:
        return
    seen: set[str] = set()
    for wave in order:
        assert all(needs[name] <= seen for name in wave)
        seen |= set(wave)
    assert seen == set(needs)
