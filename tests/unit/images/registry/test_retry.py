from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.registry.retry import Policy, retry_after

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@given(st.integers(1, 200), st.floats(0, 1), st.none() | st.floats(-10, 1e9))
def test_a_delay_is_bounded_and_ends(failures: int, chance: float, wish: float | None) -> None:
    policy = Policy()
    delay = policy.delay(failures, wish, chance)
    if failures >= policy.attempts:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= policy.longest


def test_delays_grow_and_are_spread_over_their_upper_half() -> None:
    policy = Policy(attempts=9, first=1.0, longest=10.0)
    assert [policy.delay(n, None, 1.0) for n in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert policy.delay(2, None, 0.0) == 1.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("\u0661", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_any_header_is_harmless(value: str) -> None:
    found = retry_after(value, NOW)
    assert found is None or found >= 0
